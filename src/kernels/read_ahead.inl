// Reading of memory ahead of its use. Included by kernels.inl.

// Which cache __builtin_prefetch brings memory into: loads of AMX tiles are as fast from the second
// (2), others gain from the first (3).
#if defined(__AMX_BF16__)
constexpr int kPrefetchLocality = 2;
#else
constexpr int kPrefetchLocality = 3;
#endif

/// Asks for memory while a kernel works on other bytes: in its order, whatever order those are
/// worked on in, and spread evenly over them.
class ReadAhead {
public:
    /// `bytes` > 0 at `here` are worked on meanwhile. They are asked for where there is nothing
    /// else, which costs nothing: an address of no memory would cost a look-up each time.
    ReadAhead(SoonRead soon, const void* here, int64_t bytes)
        : at_(static_cast<const char*>(soon.data == nullptr ? here : soon.data)),
          scale_(soon.bytes < bytes ? soon.bytes * kOne / bytes : kOne) {}
    /// So many bytes are worked on now.
    void operator()(int64_t bytes) {
#pragma GCC unroll 8
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at_ + i, 0, kPrefetchLocality);
        at_ += bytes * scale_ / kOne;
    }

private:
    static constexpr int64_t kOne = 256;
    const char* at_;
    int64_t scale_;
};
