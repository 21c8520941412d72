#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace lowkey {

// What synthetic prompts are made of. The same generator gives the same words.

/// Hands out the numbers [0, size), each once, in random order.
class Deck {
public:
    explicit Deck(int64_t size);
    [[nodiscard]] int64_t left() const { return static_cast<int64_t>(cards_.size()) - next_; }
    /// One of those that are left.
    int64_t draw(std::mt19937_64& rng);

private:
    std::vector<int64_t> cards_;
    int64_t next_ = 0;
};

/// Keys are two words, as "amber lantern": so many differ.
int64_t num_magic_keys();
std::string magic_key(int64_t index);
/// Seven digits.
std::string magic_number(std::mt19937_64& rng);

}  // namespace lowkey
