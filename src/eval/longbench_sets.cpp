#include "eval/longbench.h"

namespace lowkey {
namespace {

constexpr char kPassages[] =
    "Below are some passages, and a question about them. Answer with the answer alone, without any "
    "other words.\n\n{context}\n\nUse the passages above and give the answer alone.\n\nQuestion: "
    "{input}\nAnswer:";

}  // namespace

const std::vector<LongBenchSet>& longbench_sets() {
    static const std::vector<LongBenchSet> sets = {
        {"narrativeqa",
         "Read the story (a book or a film script) and answer the question about it in a short "
         "phrase. Explain nothing.\n\nStory: {context}\n\nNow answer in a short phrase.\n\n"
         "Question: {input}\n\nAnswer:",
         128, "qa_f1"},
        {"qasper",
         "Read the scientific article and answer the question about it in a short phrase or a "
         "sentence. If the article does not say, write \"unanswerable\". If the question asks for "
         "yes or no, write \"yes\", \"no\" or \"unanswerable\". Explain nothing.\n\nArticle: "
         "{context}\n\nNow answer the question in the same way.\n\nQuestion: {input}\n\nAnswer:",
         128, "qa_f1"},
        {"multifieldqa_en",
         "Read the text and answer the question about it briefly.\n\n{context}\n\nGive the answer "
         "alone, without any other words.\n\nQuestion: {input}\nAnswer:",
         64, "qa_f1"},
        {"multifieldqa_zh",
         "请阅读下面的文章，然后用中文简短地回答问题。\n\n{context}\n\n请根据上文回答，只写答案，"
         "不要写其他内容。\n\n问题：{input}\n回答：",
         64, "qa_f1_zh"},
        {"hotpotqa", kPassages, 32, "qa_f1"},
        {"2wikimqa", kPassages, 32, "qa_f1"},
        {"musique", kPassages, 32, "qa_f1"},
        {"dureader",
         "请根据下面的文章回答问题。\n\n文章：{context}\n\n请根据上面的文章作答。\n\n问题："
         "{input}\n回答：",
         128, "rouge_l_zh"},
        {"gov_report",
         "Summarize this report of a government agency on one page.\n\nReport:\n{context}\n\nNow "
         "write the summary of one page.\n\nSummary:",
         512, "rouge_l"},
        {"qmsum",
         "Below are the minutes of a meeting, and a request. Answer it in one or a few sentences."
         "\n\nMinutes:\n{context}\n\nNow answer the request from the minutes.\n\nRequest: {input}"
         "\nAnswer:",
         512, "rouge_l"},
        {"multi_news",
         "Below are several news articles. Summarize all of them on one page.\n\nNews:\n{context}"
         "\n\nNow write one summary of all the news.\n\nSummary:",
         512, "rouge_l"},
        {"vcsum",
         "下面是一次会议的记录，请读完后写一段文字总结会议内容。\n会议记录：\n{context}\n\n"
         "会议总结：",
         512, "rouge_l_zh"},
        {"trec", "Name the type of the last question, as these examples do.\n\n{context}\n{input}",
         64, "classification", true},
        {"triviaqa",
         "Answer the last question from its passage with the answer alone, as these examples do."
         "\n\n{context}\n\n{input}",
         32, "qa_f1", true},
        {"samsum",
         "Summarize the last dialogue in a few short sentences, as these examples do.\n\n{context}"
         "\n\n{input}",
         128, "rouge_l", true},
        {"lsht", "请像下面的例子那样，判断最后一条新闻的类别。\n\n{context}\n{input}", 64,
         "classification", true},
        {"passage_count",
         "Below are paragraphs, of which some may be there more than once. Count the different "
         "ones, leaving out repetitions.\n\n{context}\n\nHow many different paragraphs are there? "
         "Write the number alone, as 1, 2 or 3.\n\nThe number is: ",
         32, "count"},
        {"passage_retrieval_en",
         "Below are numbered paragraphs, and a summary of one of them. Find out which one it is."
         "\n\n{context}\n\nThe summary:\n\n{input}\n\nName the paragraph it belongs to in the form "
         "\"Paragraph 1\" or \"Paragraph 2\".\n\nThe answer is: ",
         32, "retrieval"},
        {"passage_retrieval_zh",
         "下面有若干编号的段落，以及其中一段的摘要。请找出摘要属于哪一段。\n\n{context}\n\n摘要："
         "\n\n{input}\n\n请写出该段落的编号，格式为\"段落1\"、\"段落2\"。\n\n答案是：",
         32, "retrieval_zh"},
        {"lcc", "Complete this code by its next line.\n{context}Next line of code:\n", 64, "code"},
        {"repobench-p",
         "Complete this code by its next line.\n{context}{input}Next line of code:\n", 64, "code"},
    };
    return sets;
}

}  // namespace lowkey
