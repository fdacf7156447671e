// Products of all steps at once, with the loops of a step (loops.h, whose text is put before this one).
//
// Threads share the rows. For a weight's gradient, which is a sum over rows, each thread has a sum of its own, and then
// they add these up: no two threads ever write to the same numbers.

using namespace mann;

// Vectors of a block of columns, as many as the registers hold for all rows of a block.
constexpr int64_t COLUMN_BLOCK = ACCUMULATORS / ROW_BLOCK;
// Rows that a weight's gradient sums at a time: they stay in the cache of a core while all columns are summed.
constexpr int64_t CACHED_ROWS = 256;

// Calls block(first row, COUNT) for all rows, `ROW_BLOCK` at a time, which share each load of a vector of columns.
template <typename Body>
static inline void for_row_blocks(int64_t rows, Body body) {
  int64_t m = 0;
  for (; m + ROW_BLOCK <= rows; m += ROW_BLOCK) body(m, Constant<ROW_BLOCK>());
  for (; m < rows; m++) body(m, Constant<1>());
}

// Calls block(first column, VECTORS, numbers in the last vector) for all columns. Unlike `for_column_blocks` (loops.h)
// the number of columns is not known when this is compiled.
template <typename Body>
static inline void for_columns(int64_t columns, Body body) {
  constexpr int64_t whole = COLUMN_BLOCK * VECTOR_SIZE;
  int64_t n = 0;
  for (; n + whole <= columns; n += whole) body(n, Constant<COLUMN_BLOCK>(), Constant<VECTOR_SIZE>());
  for (; n + VECTOR_SIZE <= columns; n += VECTOR_SIZE) body(n, Constant<1>(), Constant<VECTOR_SIZE>());
  if (n < columns) body(n, Constant<1>(), columns - n);
}

struct Range {
  int64_t start, stop;
};

// The range of numbers 0, ..., count - 1 that this thread has to do.
static Range own_range(int64_t count) {
  const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
  return {count * thread / threads, count * (thread + 1) / threads};
}

// Columns outside, rows inside: a block of columns of the weight stays in the cache for all rows.
[[gnu::flatten]] static void affine_rows(Range own, const float* bias, const float* inputs, const float* weight,
                                         float* out, int64_t size, int64_t width) {
  const Matrix left = {inputs, size, 1}, right = {weight, width, 1}, addend = {bias, 0, 1};
  for_columns(width, [&](int64_t n, auto vectors, auto last) {
    for_row_blocks(own.stop - own.start, [&](int64_t m, auto count) {
      const int64_t row = own.start + m;
      block_product<count, vectors>(size, left.from(row, 0), right.from(0, n), addend.from(0, n), out + row * width + n,
                                    width, last);
    });
  });
}

// out [rows, width] = inputs [rows, size] weight [size, width] + bias [width], if there is one.
extern "C" void affine(const float* bias, const float* inputs, const float* weight, float* out, int64_t rows,
                       int64_t size, int64_t width, int64_t threads) {
#pragma omp parallel num_threads(threads)
  affine_rows(own_range(rows), bias, inputs, weight, out, size, width);
}

// A block of the gradients outside, all columns of the inputs inside: there are more gradients than inputs, and the
// inputs of `CACHED_ROWS` rows stay in the cache.
[[gnu::flatten]] static void sum_rows(Range own, const float* gradients, const float* inputs, float* sum, int64_t size,
                                      int64_t width) {
  // The row stride of `left` is 1: it is the gradients transposed, which are not copied.
  const Matrix left = {gradients, 1, width}, right = {inputs, size, 1};
  if (own.start == own.stop) std::fill_n(sum, width * size, 0.f);  // more threads than rows: nothing is written below
  for (int64_t k = own.start; k < own.stop; k += CACHED_ROWS) {
    // The first rows are written, all others are added.
    const Matrix addend = {k > own.start ? sum : nullptr, size, 1};
    for_row_blocks(width, [&](int64_t m, auto count) {
      for_columns(size, [&](int64_t n, auto vectors, auto last) {
        block_product<count, vectors, true>(std::min(own.stop - k, CACHED_ROWS), left.from(m, k), right.from(k, n),
                                            addend.from(m, n), sum + m * size + n, size, last);
      });
    });
  }
}

// out [width, size] = gradients^T [width, rows] inputs [rows, size]; partial_sums: room for [threads - 1, width, size].
extern "C" void weight_gradient(const float* gradients, const float* inputs, float* out, float* partial_sums,
                                int64_t rows, int64_t size, int64_t width, int64_t threads) {
  const int64_t numbers = width * size;
#pragma omp parallel num_threads(threads)
  {
    const int64_t thread = omp_get_thread_num();
    sum_rows(own_range(rows), gradients, inputs, thread ? partial_sums + (thread - 1) * numbers : out, size, width);
#pragma omp barrier
    // Always in the order of the threads, so that a result is the same in every run.
    const Range own = own_range(numbers);
    for (int64_t other = 0; other < omp_get_num_threads() - 1; other++)
      for (int64_t i = own.start; i < own.stop; i++) out[i] += partial_sums[other * numbers + i];
  }
}

// out [columns, rows] = from [rows, columns], transposed. `VECTOR_SIZE` rows at a time, so that as many adjacent numbers
// are written: one by one, each would touch another cache line.
extern "C" void transpose(const float* from, float* out, int64_t rows, int64_t columns, int64_t threads) {
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < rows; i += VECTOR_SIZE) {
    const int64_t count = std::min(rows - i, VECTOR_SIZE);
    for (int64_t j = 0; j < columns; j++)
      for (int64_t k = i; k < i + count; k++) out[j * rows + k] = from[k * columns + j];
  }
}
