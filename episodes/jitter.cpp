// Images slanted, stretched, rotated and shifted: the same as `transformed` in jitter.py, from the bytes of the images,
// an image at a time.
//
// Bilinear interpolation needs the four pixels around a point. They are packed into one number of 32 bits, so that a
// point takes one access to memory instead of four.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

// Vectorise the loops over pixels: the flags that Inductor passes to the compiler turn that off.
#pragma GCC optimize("tree-loop-vectorize")

// An image in that layout, with a blank margin of one pixel: points outside of the image need no test.
struct PackedImage {
  int64_t height, width, stride;
  std::vector<uint8_t> bytes;     // the image with its margin
  std::vector<uint32_t> corners;  // of each square of four pixels: upper left, upper right, lower left, lower right

  PackedImage(int64_t height, int64_t width)
      : height(height),
        width(width),
        stride(width + 2),
        bytes((height + 3) * stride + 1),
        corners((height + 2) * stride) {}

  void fill(const uint8_t* image) {
    for (int64_t y = 0; y < height; y++) std::copy_n(image + y * width, width, &bytes[(y + 1) * stride + 1]);
    const uint8_t *above = bytes.data(), *below = above + stride;
    for (int64_t i = 0; i < (height + 2) * stride; i++)
      corners[i] = above[i] | above[i + 1] << 8 | below[i] << 16 | uint32_t(below[i + 1]) << 24;
  }

  // Bilinear interpolation at a point, in pixels from the corner of the margin.
  float at(float x, float y) const {
    x = std::min(std::max(x, 0.f), width + 1.f);
    y = std::min(std::max(y, 0.f), height + 1.f);
    const int32_t left = x, top = y;
    const uint32_t four = corners[top * int32_t(stride) + left];
    const float right = x - left, down = y - top;
    const float upper = interpolate(four & 255, four >> 8 & 255, right);
    const float lower = interpolate(four >> 16 & 255, four >> 24, right);
    return upper + (lower - upper) * down;
  }

  static float interpolate(int32_t one, int32_t other, float fraction) { return one + (other - one) * fraction; }
};

// images: [image, height, width]; indices: [count], which of them; angles: [count]; shifts: [count, 2];
// deformations: [count, 3]; out: [count, height, width].
extern "C" void transform(const uint8_t* images, const int64_t* indices, const float* angles, const float* shifts,
                          const float* deformations, float* out, int64_t count, int64_t height, int64_t width) {
  const int64_t size = height * width;
  // The centre of each pixel, from -1 to 1.
  std::vector<float> across(size), down(size);
  for (int64_t i = 0; i < size; i++) {
    across[i] = (2 * (i % width) + 1) / float(width) - 1;
    down[i] = (2 * (i / width) + 1) / float(height) - 1;
  }
#pragma omp parallel
  {
    PackedImage packed(height, width);  // of this thread
#pragma omp for
    for (int64_t n = 0; n < count; n++) {
      packed.fill(images + indices[n] * size);
      const float cosine = std::cos(angles[n]), sine = std::sin(angles[n]);
      const float right = shifts[2 * n], lower = shifts[2 * n + 1];
      const float* deformation = deformations + 3 * n;
      const float inverse_width = 1 / (1 + deformation[0]), inverse_height = 1 / (1 + deformation[1]);
      const float slant = deformation[2];
      // For each pixel of the result, its point in the source: everything undone, the last first.
      for (int64_t i = 0; i < size; i++) {
        const float x = across[i] - right, y = down[i] - lower;
        const float upright = (sine * x + cosine * y) * inverse_height;
        const float along = (cosine * x - sine * y) * inverse_width + slant * upright;
        out[n * size + i] = packed.at((along + 1) * width / 2 + .5f, (upright + 1) * height / 2 + .5f) / 255;
      }
    }
  }
}
