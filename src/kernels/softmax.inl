// Softmax and what is like it: largest numbers, exponentials, rows in place. Included by
// kernels.inl.

/// Lanes [0, n) from x, `rest` in the others.
inline VecF load_some(const float* x, int64_t n, float rest) {
    float lanes[kLanes];
    for (int i = 0; i < kLanes; ++i) lanes[i] = i < n ? x[i] : rest;
    return load(lanes);
}
inline void store_some(float* x, VecF v, int64_t n) {
    float lanes[kLanes];
    store(lanes, v);
    for (int i = 0; i < n; ++i) x[i] = lanes[i];
}

float max(const float* x, int64_t n) noexcept {
    if (n < kLanes) return horizontal_max(load_some(x, n, x[0]));
    // Two chains, and a last vector that overlaps the one before.
    VecF best[2] = {load(x), load(x + n - kLanes)};
    int64_t i = kLanes;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        best[0] = larger(load(x + i), best[0]);
        best[1] = larger(load(x + i + kLanes), best[1]);
    }
    if (i + kLanes <= n) best[0] = larger(load(x + i), best[0]);
    return horizontal_max(larger(best[1], best[0]));
}

/// Applies fn to vectors of x in place; the last, partial one goes through a copy.
template <typename Fn>
inline void map(float* x, int64_t n, Fn fn) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(x + i, fn(load(x + i)));
    if (i < n) store_some(x + i, fn(load_some(x + i, n - i, 0)), n - i);
}

/// exp_sum() that calls step() for each vector.
template <typename Step>
inline float exp_sum_with(float* x, int64_t n, float shift, Step step) {
    VecF sum = {};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        step();
        const VecF e = exp_to_88(load(x + i) - shift);
        store(x + i, e);
        sum += e;
    }
    if (i < n) {
        const VecF e = exp_to_88(load_some(x + i, n - i, -__builtin_inff()) - shift);
        store_some(x + i, e, n - i);
        sum += e;
    }
    return horizontal_sum(sum);
}

float exp_sum(float* x, int64_t n, float shift) noexcept {
    return exp_sum_with(x, n, shift, [] {});
}

void scale(float* x, int64_t n, float factor) noexcept {
    map(x, n, [factor](VecF v) { return v * factor; });
}

void online_softmax(float* scores, int64_t stride, int64_t rows, int64_t n, float* tops,
                    float* sums, float* acc, int64_t dim, SoonRead soon) noexcept {
    ReadAhead read_ahead(soon, scores, rows * n * 4);
    for (int64_t r = 0; r < rows; ++r) {
        float* x = scores + r * stride;
        const float top = max(x, n);
        if (top > tops[r]) {
            const VecF factor = exp_to_88(broadcast(tops[r] - top));  // 0 for the first tokens
            sums[r] *= factor[0];
            scale(acc + r * dim, dim, factor[0]);
            tops[r] = top;
        }
        sums[r] += exp_sum_with(x, n, tops[r], [&] { read_ahead(kLanes * 4); });
    }
}

void add_ramp(float* x, int64_t n, float start, float step) noexcept {
    for (int64_t i = 0; i < n; ++i) x[i] += start + step * static_cast<float>(i);
}

void softcap(float* x, int64_t n, float cap) noexcept {
    const float twice = 2.0f / cap;
    // tanh(y) = 1 - 2 / (exp(2 y) + 1); exp() stops growing long after tanh is 1.
    map(x, n, [cap, twice](VecF v) { return cap - 2.0f * cap / (exp(v * twice) + 1.0f); });
}
