// Loops of a step: products, out = left right + addend of float32, and the lowest of a row's numbers.
//
// mann/lowering.py says which of them is called; products.cpp has products of all steps. Sizes are known when this is
// compiled, so that sums stay in registers. That takes callers that are compiled whole ([[gnu::flatten]]): a loop that is a
// function of its own has them in memory, and takes twice as long. Generated code has this text once for each product.
#ifndef MANN_LOOPS
#define MANN_LOOPS

#include <ATen/cpu/vec/vec.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace mann {

using Vector = at::vec::Vectorized<float>;
constexpr int64_t WIDE = Vector::size();
// How many vectors are held at once: the registers, less those for what is multiplied.
constexpr int64_t HELD = WIDE == 16 ? 24 : 12;
// How many rows are multiplied at once: each vector of `right` is loaded once for them.
constexpr int64_t TOGETHER = WIDE == 16 ? 8 : 4;
// How many columns of `left` ahead of what is multiplied numbers are asked for.
constexpr int64_t AHEAD = 16;
// Multiplications that are worth waking another thread for, where no other has a lane.
constexpr int64_t SHARED = 1 << 20;

// Numbers in memory, and how far apart they are from row to row and from column to column.
struct Matrix {
  const float* numbers;
  int64_t row, column;

  const float* at(int64_t i, int64_t j) const { return numbers ? numbers + i * row + j * column : nullptr; }
  Matrix from(int64_t i, int64_t j) const { return {at(i, j), row, column}; }
};

template <int64_t NUMBER>
using Constant = std::integral_constant<int64_t, NUMBER>;

// Vectors side by side, of which the last has `last` numbers.
template <int64_t PARTS>
struct Row {
  Vector parts[PARTS];

  // Zeros where there are no numbers.
  void load(const float* numbers, int64_t last) {
#pragma GCC unroll 24
    for (int64_t p = 0; p < PARTS; p++)
      parts[p] = numbers ? Vector::loadu(numbers + p * WIDE, p + 1 < PARTS ? WIDE : last) : Vector(0.f);
  }
  void add(float factor, const Row& other) {
#pragma GCC unroll 24
    for (int64_t p = 0; p < PARTS; p++) parts[p] = at::vec::fmadd(Vector(factor), other.parts[p], parts[p]);
  }
  void store(float* numbers, int64_t last) const {
#pragma GCC unroll 24
    for (int64_t p = 0; p < PARTS - 1; p++) parts[p].store(numbers + p * WIDE);
    // To store a part of a vector takes some processors four times as long as to store a whole one and copy.
    float aside[WIDE];
    parts[PARTS - 1].store(aside);
    std::copy_n(aside, last, numbers + (PARTS - 1) * WIDE);
  }
};

// Calls part(first column, PARTS, last) for `N` columns, with at most `MOST` vectors at a time; `SHARE`: by all threads.
template <int64_t N, int64_t MOST, bool SHARE = false, typename Part>
inline void in_parts(Part part) {
  constexpr int64_t whole = N / (MOST * WIDE) * MOST * WIDE, rest = N - whole;
  auto part_of_whole = [&](int64_t n) { part(n, Constant<MOST>(), Constant<WIDE>()); };
  if (SHARE && !omp_in_parallel()) {
#pragma omp parallel for
    for (int64_t n = 0; n < whole; n += MOST * WIDE) part_of_whole(n);
  } else {
    for (int64_t n = 0; n < whole; n += MOST * WIDE) part_of_whole(n);
  }
  if constexpr (rest > 0) {
    constexpr int64_t parts = (rest + WIDE - 1) / WIDE;
    part(whole, Constant<parts>(), Constant<rest - (parts - 1) * WIDE>());
  }
}

// Some columns, of all of the `M` rows: a number of each of `left` at a time, times a row of `right`. ASK: for what comes
// next, where it is far from what is loaded now and a processor does not look for it.
template <int64_t M, int64_t PARTS, bool ASK = false, typename Last>
inline void columns(int64_t K, Matrix left, Matrix right, Matrix addend, float* out, int64_t row, Last last) {
  Row<PARTS> sums[M], many;
#pragma GCC unroll 8
  for (int64_t m = 0; m < M; m++) sums[m].load(addend.at(m, 0), last);
  if constexpr (ASK) {
#pragma GCC unroll 8
    for (int64_t m = 0; m < M; m++)
#pragma GCC unroll 24
      for (int64_t p = 0; p < PARTS; p++) __builtin_prefetch(addend.numbers + (m + M) * addend.row + p * WIDE);
  }
  for (int64_t k = 0; k < K; k++) {
    many.load(right.at(k, 0), last);
    if constexpr (ASK) __builtin_prefetch(left.numbers + (k + AHEAD) * left.column);
#pragma GCC unroll 8
    for (int64_t m = 0; m < M; m++) sums[m].add(*left.at(m, k), many);
  }
#pragma GCC unroll 8
  for (int64_t m = 0; m < M; m++) sums[m].store(out + m * row, last);
}

// [M, K] [K, N], as where heads read and where a weight is, `right` and `addend` by rows.
template <int64_t M, int64_t N, int64_t K>
inline void sums(Matrix left, Matrix right, Matrix addend, float* out) {
  constexpr int64_t AT_ONCE = std::min(M, TOGETHER), whole = M / AT_ONCE * AT_ONCE;
  in_parts<N, HELD / AT_ONCE, (M * N * K >= SHARED)>([&](int64_t n, auto parts, auto last) {
    auto rows = [&](int64_t m, auto count) {
      columns<count, parts>(K, left.from(m, 0), right.from(0, n), addend.from(m, n), out + m * N + n, N, last);
    };
    for (int64_t m = 0; m < whole; m += AT_ONCE) rows(m, Constant<AT_ONCE>());
    if constexpr (whole < M) rows(whole, Constant<M - whole>());
  });
}

// The sums of as many vectors as a vector has numbers.
template <int64_t COUNT>
inline Vector totals(const Vector* vectors) {
  if constexpr (COUNT == 1) {
    return *vectors;
  } else {
    auto [even, odd] = at::vec::deinterleave2(totals<COUNT / 2>(vectors), totals<COUNT / 2>(vectors + COUNT / 2));
    return even + odd;
  }
}

// Few rows, as where keys are compared: [M, K] [K, N], `left` by rows, `right` by columns.
template <int64_t M, int64_t N, int64_t K>
inline void dots(Matrix left, Matrix right, Matrix addend, float* out) {
  constexpr int64_t FIRST = std::min(K, WIDE), LAST = (K - 1) % WIDE + 1;
  in_parts<N, 1>([&](int64_t n, auto, auto count) {
    // The last column again where there are no more.
    auto column = [&](int64_t k, int64_t i) { return right.at(k, n + std::min<int64_t>(i, count - 1)); };
    for (int64_t m = 0; m < M; m++) {
      Vector products[WIDE], part = Vector::loadu(left.at(m, 0), FIRST);
#pragma GCC unroll 16
      for (int64_t i = 0; i < WIDE; i++) products[i] = part * Vector::loadu(column(0, i), FIRST);
#pragma GCC unroll 4
      for (int64_t k = WIDE; k < K; k += WIDE) {
        const int64_t wide = k + WIDE < K ? WIDE : LAST;
        part = Vector::loadu(left.at(m, k), wide);
#pragma GCC unroll 16
        for (int64_t i = 0; i < WIDE; i++) products[i] = at::vec::fmadd(part, Vector::loadu(column(k, i), wide), products[i]);
      }
      Row<1> row;
      row.load(addend.at(m, n), count);
      row.parts[0] = row.parts[0] + totals<WIDE>(products);
      row.store(out + m * N + n, count);
    }
  });
}

// Where the `COUNT` lowest of `N` numbers are, the lowest first, ties to the lower index.
template <int64_t N, int64_t COUNT, typename Number>
inline void lowest(const Number* numbers, int64_t* places) {
  Number found[COUNT];
  for (int64_t n = 0; n < N; n++) {
    if (n >= COUNT && !(numbers[n] < found[COUNT - 1])) continue;
    int64_t at = std::min(n, COUNT - 1);
    for (; at > 0 && numbers[n] < found[at - 1]; at--) found[at] = found[at - 1], places[at] = places[at - 1];
    found[at] = numbers[n], places[at] = n;
  }
}

}  // namespace mann

#endif
