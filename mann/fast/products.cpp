// Products of all steps at once, with the loops of a step (loops.h, which comes before this).
//
// Threads share rows. So they do for a weight's gradient, which is a sum over rows: each has a sum of its own.

using namespace mann;

// Vectors side by side, as many as registers hold of all rows at once.
constexpr int64_t PARTS = HELD / TOGETHER;
// Rows that are added up at a time: they stay in a core's cache.
constexpr int64_t NEAR = 256;

// Calls part(first row, COUNT) for all rows, as many at a time as share what is loaded of columns.
template <typename Part>
static inline void in_rows(int64_t rows, Part part) {
  int64_t m = 0;
  for (; m + TOGETHER <= rows; m += TOGETHER) part(m, Constant<TOGETHER>());
  for (; m < rows; m++) part(m, Constant<1>());
}

// Calls part(first column, PARTS, last) for all columns.
template <typename Part>
static inline void in_columns(int64_t columns, Part part) {
  int64_t n = 0;
  for (; n + PARTS * WIDE <= columns; n += PARTS * WIDE) part(n, Constant<PARTS>(), Constant<WIDE>());
  for (; n + WIDE <= columns; n += WIDE) part(n, Constant<1>(), Constant<WIDE>());
  if (n < columns) part(n, Constant<1>(), columns - n);
}

struct Share {
  int64_t first, after;
};

static Share share(int64_t rows) {
  const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
  return {rows * thread / threads, rows * (thread + 1) / threads};
}

// Some columns of the weight at a time, which stay near, for all rows.
[[gnu::flatten]] static void affine_of(Share own, const float* bias, const float* inputs, const float* weight, float* out,
                                       int64_t size, int64_t width) {
  const Matrix all = {inputs, size, 1}, by_rows = {weight, width, 1}, same = {bias, 0, 1};
  in_columns(width, [&](int64_t n, auto parts, auto last) {
    in_rows(own.after - own.first, [&](int64_t m, auto count) {
      const int64_t row = own.first + m;
      columns<count, parts>(size, all.from(row, 0), by_rows.from(0, n), same.from(0, n), out + row * width + n, width, last);
    });
  });
}

// out [rows, width] = inputs [rows, size] weight [size, width] + bias [width], if there is one.
extern "C" void affine(const float* bias, const float* inputs, const float* weight, float* out, int64_t rows, int64_t size,
                       int64_t width, int64_t threads) {
#pragma omp parallel num_threads(threads)
  affine_of(share(rows), bias, inputs, weight, out, size, width);
}

// Some of the gradients at a time, for all columns of the inputs: there are more gradients, and inputs stay near.
[[gnu::flatten]] static void gathered_of(Share own, const float* gradients, const float* inputs, float* sum, int64_t size,
                                         int64_t width) {
  const Matrix above = {gradients, 1, width}, below = {inputs, size, 1};
  if (own.first == own.after) std::fill_n(sum, width * size, 0.f);
  for (int64_t k = own.first; k < own.after; k += NEAR) {
    const Matrix before = {k > own.first ? sum : nullptr, size, 1};
    in_rows(width, [&](int64_t m, auto count) {
      in_columns(size, [&](int64_t n, auto parts, auto last) {
        columns<count, parts, true>(std::min(own.after - k, NEAR), above.from(m, k), below.from(k, n), before.from(m, n),
                                    sum + m * size + n, size, last);
      });
    });
  }
}

// out [width, size] = gradients^T [width, rows] inputs [rows, size]; others: room for the sums of all threads but one.
extern "C" void gathered(const float* gradients, const float* inputs, float* out, float* others, int64_t rows, int64_t size,
                         int64_t width, int64_t threads) {
  const int64_t numbers = width * size;
#pragma omp parallel num_threads(threads)
  {
    const int64_t thread = omp_get_thread_num();
    gathered_of(share(rows), gradients, inputs, thread ? others + (thread - 1) * numbers : out, size, width);
#pragma omp barrier
    const Share own = share(numbers);
    for (int64_t other = 0; other < omp_get_num_threads() - 1; other++)
      for (int64_t i = own.first; i < own.after; i++) out[i] += others[other * numbers + i];
  }
}

// out [columns, rows] = from [rows, columns], transposed.
extern "C" void turn(const float* from, float* out, int64_t rows, int64_t columns, int64_t threads) {
#pragma omp parallel for num_threads(threads)
  for (int64_t i = 0; i < rows; i += WIDE) {
    const int64_t count = std::min(rows - i, WIDE);
    for (int64_t j = 0; j < columns; j++)
      for (int64_t k = i; k < i + count; k++) out[j * rows + k] = from[k * columns + j];
  }
}
