#include "eval/magic_words.h"

#include <fmt/format.h>

#include <array>
#include <numeric>
#include <utility>

namespace lowkey {
namespace {

constexpr std::array<const char*, 16> kAdjectives = {
    "amber", "brisk", "copper", "dusty",  "eager",  "faded",  "gentle", "hollow",
    "ivory", "jolly", "keen",   "lonely", "mellow", "narrow", "old",    "quiet"};
constexpr std::array<const char*, 16> kNouns = {
    "lantern", "anchor", "bridge", "candle", "drum",   "engine", "feather", "garden",
    "harbor",  "island", "jacket", "kettle", "ladder", "mirror", "orchard", "pillow"};

}  // namespace

Deck::Deck(int64_t size) : cards_(static_cast<size_t>(size)) {
    std::iota(cards_.begin(), cards_.end(), 0);
}

int64_t Deck::draw(std::mt19937_64& rng) {
    const auto other = std::uniform_int_distribution<int64_t>(next_, std::ssize(cards_) - 1)(rng);
    std::swap(cards_[static_cast<size_t>(next_)], cards_[static_cast<size_t>(other)]);
    return cards_[static_cast<size_t>(next_++)];
}

int64_t num_magic_keys() { return std::ssize(kAdjectives) * std::ssize(kNouns); }

std::string magic_key(int64_t index) {
    const auto key = static_cast<size_t>(index);
    return fmt::format("{} {}", kAdjectives.at(key / kNouns.size()),
                       kNouns.at(key % kNouns.size()));
}

std::string magic_number(std::mt19937_64& rng) {
    return std::to_string(std::uniform_int_distribution<int64_t>(1000000, 9999999)(rng));
}

}  // namespace lowkey
