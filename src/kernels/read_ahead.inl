// Reading of memory ahead of its use. Included by kernels.inl.

// The nearest cache that has room for a page of the cache of keys and values beside what a kernel
// works on, as
// __builtin_prefetch counts: loads of AMX tiles are as fast from the second, other loads gain from
// the first.
#if defined(__AMX_BF16__)
constexpr int kAskedFor = 2;
#else
constexpr int kAskedFor = 3;
#endif

/// Asks memory for the tiles that will be read after those that a kernel reads now. In their order
/// in memory, whatever order these are read in: that is faster by a tenth.
class ReadAhead {
public:
    /// Where nothing follows, the tiles that are read now are asked for, which does no harm.
    explicit ReadAhead(const Tiles& tiles)
        : at_(static_cast<const char*>(tiles.next == nullptr ? tiles.data : tiles.next)) {}
    /// As many bytes as are read now.
    void operator()(int64_t bytes) {
#pragma GCC unroll 8
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(at_ + i, 0, kAskedFor);
        at_ += bytes;
    }

private:
    const char* at_;
};
