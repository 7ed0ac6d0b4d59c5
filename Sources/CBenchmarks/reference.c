#include "benchmarks.h"
#include <math.h>

// What the formulas say, one element after another: the yardstick of the engine's kernels in speed and in values.
#define PLAIN _Pragma("clang loop vectorize(disable) interleave(disable) unroll(disable)")

void bm_linear(size_t m, size_t n, size_t k, const float *x, const float *w, const float *bias, float *y) {
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      float sum = bias ? bias[j] : 0;
      PLAIN for (size_t l = 0; l < k; l++) sum += x[i * k + l] * w[j * k + l];
      y[i * n + j] = sum;
    }
  }
}

void bm_linear_input_gradient(size_t m, size_t n, size_t k, const float *dy, const float *w, float *dx) {
  for (size_t i = 0; i < m; i++) {
    PLAIN for (size_t l = 0; l < k; l++) dx[i * k + l] = 0;
    for (size_t j = 0; j < n; j++) {
      float d = dy[i * n + j];
      PLAIN for (size_t l = 0; l < k; l++) dx[i * k + l] += d * w[j * k + l];
    }
  }
}

void bm_attention(size_t length, size_t heads, size_t head_size, const float *q, const float *k, const float *v, float *o) {
  size_t width = heads * head_size;
  float scale = 1 / sqrtf((float)head_size);
  for (size_t h = 0; h < heads; h++) {
    for (size_t i = 0; i < length; i++) {
      const float *qi = q + i * width + h * head_size;
      float *oi = o + i * width + h * head_size;
      // Softmax in one pass: the sums are rescaled where a larger score comes.
      float max = -INFINITY, sum = 0;
      PLAIN for (size_t d = 0; d < head_size; d++) oi[d] = 0;
      for (size_t j = 0; j < length; j++) {
        const float *kj = k + j * width + h * head_size, *vj = v + j * width + h * head_size;
        float score = 0;
        PLAIN for (size_t d = 0; d < head_size; d++) score += qi[d] * kj[d];
        score *= scale;
        float higher = score > max ? score : max, old = expf(max - higher), new = expf(score - higher);
        sum = sum * old + new;
        PLAIN for (size_t d = 0; d < head_size; d++) oi[d] = oi[d] * old + new * vj[d];
        max = higher;
      }
      PLAIN for (size_t d = 0; d < head_size; d++) oi[d] /= sum;
    }
  }
}

void bm_add_layer_norm(size_t rows, size_t cols, const float *x, const float *residual, const float *gamma,
                       const float *beta, float eps, float *y) {
  for (size_t r = 0; r < rows; r++, x += cols, residual += cols, y += cols) {
    float mean = 0, variance = 0;
    PLAIN for (size_t i = 0; i < cols; i++) y[i] = x[i] + residual[i], mean += y[i];
    mean /= (float)cols;
    PLAIN for (size_t i = 0; i < cols; i++) variance += (y[i] - mean) * (y[i] - mean);
    float rstd = 1 / sqrtf(variance / (float)cols + eps);
    PLAIN for (size_t i = 0; i < cols; i++) y[i] = (y[i] - mean) * rstd * gamma[i] + beta[i];
  }
}

void bm_gelu(size_t n, const float *x, float *y) {
  PLAIN for (size_t i = 0; i < n; i++) y[i] = 0.5f * x[i] * (1 + erff(x[i] * 0.70710678f));
}

void bm_gelu_backward(size_t n, const float *x, const float *dy, float *dx) {
  PLAIN for (size_t i = 0; i < n; i++) {
    float cdf = 0.5f * (1 + erff(x[i] * 0.70710678f)), density = 0.39894228f * expf(-0.5f * x[i] * x[i]);
    dx[i] = dy[i] * (cdf + x[i] * density);
  }
}

void bm_softmax(size_t rows, size_t cols, const float *x, float *y) {
  for (size_t r = 0; r < rows; r++, x += cols, y += cols) {
    float max = x[0], sum = 0;
    PLAIN for (size_t i = 1; i < cols; i++) max = x[i] > max ? x[i] : max;
    PLAIN for (size_t i = 0; i < cols; i++) y[i] = expf(x[i] - max), sum += y[i];
    PLAIN for (size_t i = 0; i < cols; i++) y[i] /= sum;
  }
}

void bm_dropout(size_t n, float p, uint64_t seed, const float *x, float *y) {
  double threshold = p * 4294967296.0;
  float scale = 1 / (1 - p);
  for (size_t i = 0; i < n; i += 4) {
    uint32_t c[4] = {(uint32_t)(i / 4), (uint32_t)(i / 4 >> 32), 0, 0}, k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
      uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
      uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
      c[0] = n0, c[1] = (uint32_t)p1, c[2] = n2, c[3] = (uint32_t)p0;
      k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    PLAIN for (size_t j = 0; j < 4 && i + j < n; j++) y[i + j] = c[j] < threshold ? 0 : x[i + j] * scale;
  }
}

void bm_adamw(size_t n, float learning_rate, float beta1, float beta2, float eps, float decay, int64_t step, float *p,
              const float *g, float *m, float *v) {
  float correction1 = 1 - powf(beta1, (float)step), correction2 = 1 - powf(beta2, (float)step);
  PLAIN for (size_t i = 0; i < n; i++) {
    p[i] *= 1 - learning_rate * decay;
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    p[i] -= learning_rate * (m[i] / correction1) / (sqrtf(v[i] / correction2) + eps);
  }
}
