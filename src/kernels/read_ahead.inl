// Reading of memory ahead of its use. Included by kernels.inl.

/// Asks memory for what a kernel will read, into the second cache: the first is smaller than a page
/// of the cache of keys and values.
class ReadAhead {
public:
    /// Each line is asked for as long ahead as the next tiles are. With `in_order`, which says that
    /// the tiles are read from end to end, only the first lines after each border of 4 KiB are: the
    /// processor asks for the others itself, faster than it takes our requests.
    ReadAhead(const Tiles& tiles, int64_t tile_bytes, bool in_order)
        : in_order_(in_order),
          end_(reinterpret_cast<intptr_t>(tiles.data) + tiles.count * tile_bytes) {
        if (tiles.next == nullptr) return;
        const auto next = reinterpret_cast<intptr_t>(tiles.next);
        to_next_ = next - (in_order ? end_ : reinterpret_cast<intptr_t>(tiles.data));
    }
    /// What follows the line at p, which is read now. Does no harm where nothing follows.
    void operator()(const void* p) const {
        auto at = reinterpret_cast<intptr_t>(p);
        if (in_order_) {
            if (at % kBorder >= kFirstBytes) return;
            at += kBorder;
            if (at < end_) at -= to_next_;
        }
        __builtin_prefetch(reinterpret_cast<const char*>(at + to_next_), 0, 2);
    }

private:
    static constexpr intptr_t kBorder = 4096;
    static constexpr intptr_t kFirstBytes = 512;
    bool in_order_;
    intptr_t end_;
    intptr_t to_next_ = 0;
};

/// ReadAhead where every line is asked for: no branch between the products.
class NextTiles {
public:
    explicit NextTiles(const Tiles& tiles)
        : distance_(tiles.next == nullptr ? 0
                                          : reinterpret_cast<intptr_t>(tiles.next) -
                                                reinterpret_cast<intptr_t>(tiles.data)) {}
    void operator()(const void* p) const {
        __builtin_prefetch(reinterpret_cast<const char*>(reinterpret_cast<intptr_t>(p) + distance_),
                           0, 2);
    }

private:
    intptr_t distance_;
};
