// Drawings turned and moved: what `moved` in jitter.py does, from the bytes of the drawings, a drawing at a time.
//
// The four pixels around a place are one number of 32 bits, so that a place is looked up once.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

// Loops over pixels are for the compiler to do in vectors.
#pragma GCC optimize("tree-loop-vectorize")

// Lays drawings out for that; the margin around them is blank.
struct Corners {
  int64_t height, width, wide;
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> fours;

  Corners(int64_t height, int64_t width)
      : height(height), width(width), wide(width + 2), bytes((height + 3) * wide + 1), fours((height + 2) * wide) {}

  void fill(const uint8_t* drawing) {
    for (int64_t y = 0; y < height; y++) std::copy_n(drawing + y * width, width, &bytes[(y + 1) * wide + 1]);
    const uint8_t *above = bytes.data(), *below = above + wide;
    for (int64_t i = 0; i < (height + 2) * wide; i++)
      fours[i] = above[i] | above[i + 1] << 8 | below[i] << 16 | uint32_t(below[i + 1]) << 24;
  }

  // Bilinear, at a place in pixels from the corner of the margin.
  float at(float x, float y) const {
    x = std::min(std::max(x, 0.f), width + 1.f);
    y = std::min(std::max(y, 0.f), height + 1.f);
    const int32_t left = x, top = y;
    const uint32_t four = fours[top * int32_t(wide) + left];
    const float right = x - left, down = y - top;
    const float upper = mixed(four & 255, four >> 8 & 255, right), lower = mixed(four >> 16 & 255, four >> 24, right);
    return upper + (lower - upper) * down;
  }

  static float mixed(int32_t one, int32_t other, float share) { return one + (other - one) * share; }
};

// drawings: [drawing, height, width]; places: [count], which of them; angles: [count]; moves: [count, 2];
// out: [count, height, width].
extern "C" void moved(const uint8_t* drawings, const int64_t* places, const float* angles, const float* moves,
                      float* out, int64_t count, int64_t height, int64_t width) {
  const int64_t size = height * width;
  std::vector<float> across(size), down(size);
  for (int64_t i = 0; i < size; i++) {
    across[i] = (2 * (i % width) + 1) / float(width) - 1;
    down[i] = (2 * (i / width) + 1) / float(height) - 1;
  }
#pragma omp parallel
  {
    Corners corners(height, width);
#pragma omp for
    for (int64_t n = 0; n < count; n++) {
      corners.fill(drawings + places[n] * size);
      const float cosine = std::cos(angles[n]), sine = std::sin(angles[n]);
      const float right = moves[2 * n], lower = moves[2 * n + 1];
      for (int64_t i = 0; i < size; i++) {
        const float x = across[i] - right, y = down[i] - lower;
        out[n * size + i] = corners.at((cosine * x - sine * y + 1) * width / 2 + .5f,
                                       (sine * x + cosine * y + 1) * height / 2 + .5f) / 255;
      }
    }
  }
}
