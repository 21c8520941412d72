// Expected values are counted by hand.
#include "eval/text_metrics.h"

#include <gtest/gtest.h>

namespace lowkey {
namespace {

TEST(QaF1, CountsWordsWithoutCaseArticlesAndPunctuation) {
    EXPECT_DOUBLE_EQ(qa_f1("The cat, sat!", "cat sat"), 1);
    EXPECT_DOUBLE_EQ(qa_f1("a cat sat on an old mat", "the old cat"), 2 * 2.0 / (5 + 2));
    EXPECT_DOUBLE_EQ(qa_f1("red red blue", "red blue blue"), 2 * 2.0 / (3 + 3));
    EXPECT_DOUBLE_EQ(qa_f1("state-of-the-art", "stateoftheart"), 1);
    EXPECT_DOUBLE_EQ(qa_f1("theatre another", "theatre another"), 1) << "articles are whole words";
    EXPECT_DOUBLE_EQ(qa_f1("dog", "cat"), 0);
    EXPECT_DOUBLE_EQ(qa_f1("", "cat"), 0);
    EXPECT_DOUBLE_EQ(qa_f1("the", "a"), 0);
}

TEST(QaF1, ChineseByCharacters) {
    EXPECT_DOUBLE_EQ(qa_f1_zh("北京，大学。", "北京大学"), 1);
    EXPECT_DOUBLE_EQ(qa_f1_zh("在北京 大学", "北京市"), 2 * 2.0 / (5 + 3));
    EXPECT_DOUBLE_EQ(qa_f1_zh("2016年（11月）～", "2016年11月"), 1);
    EXPECT_DOUBLE_EQ(qa_f1_zh("上海", "北京"), 0);
    EXPECT_DOUBLE_EQ(qa_f1_zh("，", "北京"), 0);
}

TEST(RougeL, IsTheLongestCommonSubsequence) {
    // the cat … on the mat: 5 of 6 and of 7 words.
    EXPECT_DOUBLE_EQ(rouge_l("the cat sat on the mat", "the cat is lying on the mat"),
                     2 * 5.0 / (6 + 7));
    EXPECT_DOUBLE_EQ(rouge_l("a b c", "c b a"), 2 * 1.0 / (3 + 3));
    EXPECT_DOUBLE_EQ(rouge_l("a  b\nc", "a b c"), 1);
    EXPECT_DOUBLE_EQ(rouge_l("", "a"), 0);
    EXPECT_DOUBLE_EQ(rouge_l("", ""), 0);
}

TEST(RougeL, ChineseByCharacters) {
    EXPECT_DOUBLE_EQ(rouge_l_zh("我们 去北京", "他们去了北京"), 2 * 4.0 / (5 + 6));
}

TEST(RetrievalScore, IsTheShareOfRightNumbers) {
    EXPECT_DOUBLE_EQ(retrieval_score("Paragraph 12", "Paragraph 12", "Paragraph "), 1);
    EXPECT_DOUBLE_EQ(retrieval_score("12, 3 or 12, 4", "Paragraph 12", "Paragraph "), 0.5);
    EXPECT_DOUBLE_EQ(retrieval_score("1", "Paragraph 12", "Paragraph "), 0);
    EXPECT_DOUBLE_EQ(retrieval_score("none", "Paragraph 12", "Paragraph "), 0);
    EXPECT_DOUBLE_EQ(retrieval_score("段落7", "段落7", "段落"), 1);
    EXPECT_DOUBLE_EQ(retrieval_score("7", "7", "段落"), 0) << "a reference without the label";
}

TEST(CountScore, IsTheShareOfRightNumbers) {
    EXPECT_DOUBLE_EQ(count_score("There are 14.", "14"), 1);
    EXPECT_DOUBLE_EQ(count_score("14 or 15", "14"), 0.5);
    EXPECT_DOUBLE_EQ(count_score("fourteen", "14"), 0);
}

TEST(ClassificationScore, IsSharedByTheClassesNamed) {
    const std::vector<std::string> classes = {"Number", "Number of something", "Date", "City"};
    EXPECT_DOUBLE_EQ(classification_score("Date", "Date", classes), 1);
    EXPECT_DOUBLE_EQ(classification_score("Date or City", "Date", classes), 0.5);
    EXPECT_DOUBLE_EQ(classification_score("City", "Date", classes), 0);
    EXPECT_DOUBLE_EQ(classification_score("Number of something", "Number of something", classes), 1)
        << "a part of the right name is none of its own";
    EXPECT_DOUBLE_EQ(classification_score("Number of something", "Number", classes), 0.5);
    EXPECT_DOUBLE_EQ(classification_score("", "Date", classes), 0);
}

TEST(CodeSimilarity, TakesTheFirstLineOfCode) {
    EXPECT_DOUBLE_EQ(code_similarity("x = 1", "x = 1"), 1);
    EXPECT_DOUBLE_EQ(code_similarity("\n```python\n# set\n// set\nx = 1\ny = 2", "x = 1"), 1);
    // abcd and abxd have a, b, d in common: 2 · 3 / 8.
    EXPECT_DOUBLE_EQ(code_similarity("abcd", "abxd"), 0.75);
    // 2 · 2 / 6 in whole percents
    EXPECT_DOUBLE_EQ(code_similarity("abc", "abd"), 0.67);
    EXPECT_DOUBLE_EQ(code_similarity("", "abc"), 0);
    EXPECT_DOUBLE_EQ(code_similarity("# all comment", "abc"), 0);
}

}  // namespace
}  // namespace lowkey
