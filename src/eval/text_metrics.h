#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowkey {

// How near a model's text comes to a reference, from 0 to 1. Text is valid UTF-8. Chinese is taken
// by characters, so no word list decides about scores.
// Source: LongBench (arXiv 2308.14508), its metrics.py.

/// F1 of words in common; lower case, without punctuation and the articles a, an, the.
double qa_f1(std::string_view text, std::string_view reference);
/// F1 of characters in common; without punctuation and white space.
double qa_f1_zh(std::string_view text, std::string_view reference);
/// F1 of the longest common subsequence of words.
double rouge_l(std::string_view text, std::string_view reference);
/// The same of characters, without white space.
double rouge_l_zh(std::string_view text, std::string_view reference);
/// Of the numbers in the text, the share that is the number behind `label` ("Paragraph ") in the
/// reference.
double retrieval_score(std::string_view text, std::string_view reference, std::string_view label);
/// Of the numbers in the text, the share that is the reference.
double count_score(std::string_view text, std::string_view reference);
/// 1 / classes named in the text, if the reference is one of them; a class that is a part of the
/// reference does not count.
double classification_score(std::string_view text, std::string_view reference,
                            std::span<const std::string> classes);
/// Similarity of the text's first line that is neither comment nor mark-up, in whole percents: 2 ·
/// characters in common, in order, of those of both.
double code_similarity(std::string_view text, std::string_view reference);

}  // namespace lowkey
