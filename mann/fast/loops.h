// Loops of a step: products, out = left right + addend of float32, and the lowest numbers of a row.
//
// lowering.py decides where they are called; products.cpp has the products of all steps.
//
// All sizes are template arguments, known when this is compiled: that keeps the sums in registers. It takes callers
// that are compiled whole ([[gnu::flatten]]): a loop that stays a function of its own has its sums in memory, and takes
// twice as long. Generated code contains this text once for each product.
#ifndef MANN_LOOPS
#define MANN_LOOPS

#include <ATen/cpu/vec/vec.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace mann {

using Vector = at::vec::Vectorized<float>;
// Numbers in a vector: 4, 8 or 16.
constexpr int64_t VECTOR_SIZE = Vector::size();
// Vectors of sums at once: all registers (32 of AVX-512, else 16), less those for the factors.
constexpr int64_t ACCUMULATORS = VECTOR_SIZE == 16 ? 24 : 12;
// Rows that are multiplied at once: each vector of `right` is loaded once for all of them.
constexpr int64_t ROW_BLOCK = VECTOR_SIZE == 16 ? 8 : 4;
// Columns of `left` by which prefetching is ahead of multiplying.
constexpr int64_t PREFETCH_AHEAD = 16;
// Multiplications from which on another thread is worth waking, where no other one has a shard to run.
constexpr int64_t PARALLEL_FROM = 1 << 20;

// Numbers in memory, and the strides from row to row and from column to column. Null: a matrix of zeros.
struct Matrix {
  const float* numbers;
  int64_t row, column;

  const float* at(int64_t i, int64_t j) const { return numbers ? numbers + i * row + j * column : nullptr; }
  Matrix from(int64_t i, int64_t j) const { return {at(i, j), row, column}; }
};

// A number that is known when a generic lambda, which takes it as an argument, is compiled.
template <int64_t NUMBER>
using Constant = std::integral_constant<int64_t, NUMBER>;

// Vectors side by side; `last`: how many numbers the last of them has. The loops over vectors have to be unrolled: a
// register has no index.
template <int64_t VECTORS>
struct Block {
  Vector vectors[VECTORS];

  // Null: zeros.
  void load(const float* numbers, int64_t last) {
#pragma GCC unroll 24
    for (int64_t v = 0; v < VECTORS; v++) {
      const int64_t count = v + 1 < VECTORS ? VECTOR_SIZE : last;
      vectors[v] = numbers ? Vector::loadu(numbers + v * VECTOR_SIZE, count) : Vector(0.f);
    }
  }
  void add(float factor, const Block& other) {
#pragma GCC unroll 24
    for (int64_t v = 0; v < VECTORS; v++) vectors[v] = at::vec::fmadd(Vector(factor), other.vectors[v], vectors[v]);
  }
  void store(float* numbers, int64_t last) const {
#pragma GCC unroll 24
    for (int64_t v = 0; v < VECTORS - 1; v++) vectors[v].store(numbers + v * VECTOR_SIZE);
    // A masked store of a part of a vector takes some processors four times as long as a whole one and a copy.
    float aside[VECTOR_SIZE];
    vectors[VECTORS - 1].store(aside);
    std::copy_n(aside, last, numbers + (VECTORS - 1) * VECTOR_SIZE);
  }
};

// Calls body(first column, VECTORS, numbers in the last vector) for `N` columns, with at most `MOST` vectors at a time.
// `SHARE`: by all threads, unless this thread is already one of several.
template <int64_t N, int64_t MOST, bool SHARE = false, typename Body>
inline void for_column_blocks(Body body) {
  constexpr int64_t whole = N / (MOST * VECTOR_SIZE) * MOST * VECTOR_SIZE, rest = N - whole;
  auto whole_block = [&](int64_t n) { body(n, Constant<MOST>(), Constant<VECTOR_SIZE>()); };
  if (SHARE && !omp_in_parallel()) {
#pragma omp parallel for
    for (int64_t n = 0; n < whole; n += MOST * VECTOR_SIZE) whole_block(n);
  } else {
    for (int64_t n = 0; n < whole; n += MOST * VECTOR_SIZE) whole_block(n);
  }
  if constexpr (rest > 0) {
    constexpr int64_t vectors = (rest + VECTOR_SIZE - 1) / VECTOR_SIZE;
    body(whole, Constant<vectors>(), Constant<rest - (vectors - 1) * VECTOR_SIZE>());
  }
}

// The innermost loop: a block of `M` rows and `VECTORS` vectors of columns. For each k, a number of each row of `left`
// times row k of `right`; all M * VECTORS sums stay in registers. PREFETCH: load what the next block needs, where it is
// too far away for the processor's own prefetching.
template <int64_t M, int64_t VECTORS, bool PREFETCH = false, typename Last>
inline void block_product(int64_t K, Matrix left, Matrix right, Matrix addend, float* out, int64_t row, Last last) {
  Block<VECTORS> sums[M], factors;
#pragma GCC unroll 8
  for (int64_t m = 0; m < M; m++) sums[m].load(addend.at(m, 0), last);
  if constexpr (PREFETCH) {
    // The sums of the next rows. A prefetch of no valid address is no error.
#pragma GCC unroll 8
    for (int64_t m = 0; m < M; m++)
#pragma GCC unroll 24
      for (int64_t v = 0; v < VECTORS; v++) __builtin_prefetch(addend.numbers + (m + M) * addend.row + v * VECTOR_SIZE);
  }
  for (int64_t k = 0; k < K; k++) {
    factors.load(right.at(k, 0), last);
    if constexpr (PREFETCH) __builtin_prefetch(left.numbers + (k + PREFETCH_AHEAD) * left.column);
#pragma GCC unroll 8
    for (int64_t m = 0; m < M; m++) sums[m].add(*left.at(m, k), factors);
  }
#pragma GCC unroll 8
  for (int64_t m = 0; m < M; m++) sums[m].store(out + m * row, last);
}

// [M, K] [K, N] by sums of scaled rows of `right`: for weights, and where heads read. `right` and `addend` are stored
// row by row; `left` is read number by number, in either layout.
template <int64_t M, int64_t N, int64_t K>
inline void row_product(Matrix left, Matrix right, Matrix addend, float* out) {
  constexpr int64_t AT_ONCE = std::min(M, ROW_BLOCK), whole = M / AT_ONCE * AT_ONCE;
  for_column_blocks<N, ACCUMULATORS / AT_ONCE, (M * N * K >= PARALLEL_FROM)>([&](int64_t n, auto vectors, auto last) {
    auto rows = [&](int64_t m, auto count) {
      block_product<count, vectors>(K, left.from(m, 0), right.from(0, n), addend.from(m, n), out + m * N + n, N, last);
    };
    for (int64_t m = 0; m < whole; m += AT_ONCE) rows(m, Constant<AT_ONCE>());
    if constexpr (whole < M) rows(whole, Constant<M - whole>());
  });
}

// The sum of each of COUNT vectors, as one vector (COUNT = VECTOR_SIZE). Vectors are added in pairs, so that each
// addition is of whole vectors; a sum within each vector would take as many additions for every one of them.
template <int64_t COUNT>
inline Vector horizontal_sums(const Vector* vectors) {
  if constexpr (COUNT == 1) {
    return *vectors;
  } else {
    auto [even, odd] = at::vec::deinterleave2(horizontal_sums<COUNT / 2>(vectors),
                                              horizontal_sums<COUNT / 2>(vectors + COUNT / 2));
    return even + odd;
  }
}

// [M, K] [K, N] by dot products: for few rows, as where keys are compared. `left` is stored row by row, and `right`
// column by column, so that both factors of a dot product are contiguous.
template <int64_t M, int64_t N, int64_t K>
inline void dot_product(Matrix left, Matrix right, Matrix addend, float* out) {
  constexpr int64_t FIRST = std::min(K, VECTOR_SIZE), LAST = (K - 1) % VECTOR_SIZE + 1;
  for_column_blocks<N, 1>([&](int64_t n, auto, auto count) {
    // Always a whole vector of columns; the last column again where there are no more, whose results are not stored.
    auto column = [&](int64_t k, int64_t i) { return right.at(k, n + std::min<int64_t>(i, count - 1)); };
    for (int64_t m = 0; m < M; m++) {
      Vector products[VECTOR_SIZE], part = Vector::loadu(left.at(m, 0), FIRST);
#pragma GCC unroll 16
      for (int64_t i = 0; i < VECTOR_SIZE; i++) products[i] = part * Vector::loadu(column(0, i), FIRST);
#pragma GCC unroll 4
      for (int64_t k = VECTOR_SIZE; k < K; k += VECTOR_SIZE) {
        const int64_t wide = k + VECTOR_SIZE < K ? VECTOR_SIZE : LAST;
        part = Vector::loadu(left.at(m, k), wide);
#pragma GCC unroll 16
        for (int64_t i = 0; i < VECTOR_SIZE; i++)
          products[i] = at::vec::fmadd(part, Vector::loadu(column(k, i), wide), products[i]);
      }
      Block<1> sums;
      sums.load(addend.at(m, n), count);
      sums.vectors[0] = sums.vectors[0] + horizontal_sums<VECTOR_SIZE>(products);
      sums.store(out + m * N + n, count);
    }
  });
}

// The indices of the `COUNT` lowest of `N` numbers, the lowest first, ties to the lower index. One pass with insertion
// into a short sorted list: COUNT is a number of heads, far smaller than N.
template <int64_t N, int64_t COUNT, typename Number>
inline void lowest(const Number* numbers, int64_t* indices) {
  Number found[COUNT];
  for (int64_t n = 0; n < N; n++) {
    if (n >= COUNT && !(numbers[n] < found[COUNT - 1])) continue;
    int64_t at = std::min(n, COUNT - 1);
    // "Less than" and not "at most": an equal number that came first stays first.
    for (; at > 0 && numbers[n] < found[at - 1]; at--) found[at] = found[at - 1], indices[at] = indices[at - 1];
    found[at] = numbers[n], indices[at] = n;
  }
}

}  // namespace mann

#endif
