// Products of all steps at once, with the loops of a step (loops.h, which comes before this).
//
// Threads share rows. So they do for a weight's gradient, which is a sum over rows: each has a sum of its own.

using namespace mann;

// Vectors side by side, as many as registers hold of all rows at once.
constexpr int64_t PARTS = HELD / TOGETHER;
// Rows that are added up at a time: they stay in a core's cache.
constexpr int64_t NEAR = 256;

// out [M, N] = left [M, K] right [K, N] + addend, `right` and `addend` by rows.
static inline void product(int64_t M, int64_t N, int64_t K, Matrix left, Matrix right, Matrix addend, float* out) {
  int64_t n = 0;
  auto part = [&](auto parts, auto last) {
    auto rows = [&](int64_t m, auto count) {
      columns<count, parts>(K, left.from(m, 0), right.from(0, n), addend.from(m, n), out + m * N + n, N, last);
    };
    int64_t m = 0;
    for (; m + TOGETHER <= M; m += TOGETHER) rows(m, Constant<TOGETHER>());
    for (; m < M; m++) rows(m, Constant<1>());
    n += parts * WIDE;
  };
  while (n + PARTS * WIDE <= N) part(Constant<PARTS>(), Constant<WIDE>());
  while (n + WIDE <= N) part(Constant<1>(), Constant<WIDE>());
  if (n < N) part(Constant<1>(), N - n);
}

struct Share {
  int64_t first, after;
};

static Share share(int64_t rows) {
  const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
  return {rows * thread / threads, rows * (thread + 1) / threads};
}

[[gnu::flatten]] static void affine_of(Share own, const float* bias, const float* inputs, const float* weight, float* out,
                                       int64_t size, int64_t width) {
  const Matrix rows = {inputs, size, 1}, all = {bias, 0, 1};
  product(own.after - own.first, width, size, rows.from(own.first, 0), {weight, width, 1}, all, out + own.first * width);
}

// out [rows, width] = inputs [rows, size] weight [size, width] + bias [width], if there is one.
extern "C" void affine(const float* bias, const float* inputs, const float* weight, float* out, int64_t rows, int64_t size,
                       int64_t width, int64_t threads) {
#pragma omp parallel num_threads(threads)
  affine_of(share(rows), bias, inputs, weight, out, size, width);
}

[[gnu::flatten]] static void gathered_of(Share own, const float* gradients, const float* inputs, float* sum, int64_t size,
                                         int64_t width) {
  const Matrix above = {gradients, 1, width}, below = {inputs, size, 1};
  if (own.first == own.after) std::fill_n(sum, width * size, 0.f);
  for (int64_t k = own.first; k < own.after; k += NEAR) {
    const Matrix before = {k > own.first ? sum : nullptr, size, 1};
    product(width, size, std::min(own.after - k, NEAR), above.from(0, k), below.from(k, 0), before, sum);
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
