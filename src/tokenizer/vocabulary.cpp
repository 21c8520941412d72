#include "tokenizer/vocabulary.h"

#include "base/error.h"

namespace lowkey {

Vocabulary Vocabulary::read(const JsonReader& object) {
    if (!object.is_object())
        object.fail(std::string("expected an object, got ") + object.value().type_name());
    Vocabulary vocabulary;
    vocabulary.id_of_token_.reserve(object.value().size());
    // Not by members(): a vocabulary has 150k, and only a bad one needs a name in a message.
    for (const auto& [token, id] : object.value().items()) {
        const JsonReader reader(id, object.file(), "id of token '" + token + "'");
        const auto number = static_cast<int32_t>(reader.integer(0, kMaxTokenIds - 1));
        if (!vocabulary.add(token, number))
            reader.fail("two tokens have the id " + std::to_string(number));
    }
    return vocabulary;
}

bool Vocabulary::add(std::string token, int32_t id) {
    LOWKEY_CHECK(id >= 0 && id < kMaxTokenIds);
    const auto index = static_cast<size_t>(id);
    if (index < token_of_id_.size() && token_of_id_[index] != nullptr) return false;
    const auto [entry, added] = id_of_token_.try_emplace(std::move(token), id);
    if (!added) return false;
    if (index >= token_of_id_.size()) token_of_id_.resize(index + 1, nullptr);
    token_of_id_[index] = &entry->first;
    return true;
}

int32_t Vocabulary::id(std::string_view token) const {
    const auto entry = id_of_token_.find(token);
    return entry == id_of_token_.end() ? kNoToken : entry->second;
}

const std::string* Vocabulary::token(int32_t id) const {
    if (id < 0 || id >= end_id()) return nullptr;
    return token_of_id_[static_cast<size_t>(id)];
}

}  // namespace lowkey
