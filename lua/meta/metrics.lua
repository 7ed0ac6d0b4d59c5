---@meta
-- Written by `perigee stubs` from the declarations.

---@alias BLEUTokens
---| "13a"
---| "intl"
---| "char"
---| "none"

---@alias Smoothing
---| "none"
---| "floor"
---| "exp"
---| "add-k"

---sacrebleu options
---@class SacreBLEUOptions
---@field tokenize? BLEUTokens how texts become words (default "13a")
---@field lowercase? boolean whether case counts for nothing (default false)
---@field smooth_method? Smoothing what takes the place of precisions that are 0 (default "exp")
---@field smooth_value? number the value of floor (default 0.1) or add-k (default 1) (at least 0)
---@field max_ngram_order? integer the longest n-grams (from 1 to 16; default 4)
---@field effective_order? boolean whether n-grams that the hypotheses are too short for are left out, for single sentences (default false)
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---How texts compare with references.
---@class TextScore
---@field score number the metric
---@field parts table<string, number> what it is made of, such as precision and recall
---@field low number? with bootstrap: the value that 2.5 % of the drawn corpora lie below
---@field high number? with bootstrap: the value that 2.5 % of the drawn corpora lie above
---@field mean number? with bootstrap: the mean over the drawn corpora
---@field remarks string[] what there is to know about how it was computed

---multi_bleu options
---@class MultiBLEUOptions
---@field lowercase? boolean whether the case of ASCII letters counts for nothing, as -lc (default false)
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---multi_bleu_detok options
---@class MultiBLEUDetokOptions
---@field lowercase? boolean whether case counts for nothing, as -lc (default false)
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---e2e_bleu options
---@class E2EBLEUOptions
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---nist options
---@class NISTOptions
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---rouge options
---@class RougeOptions
---@field use_stemmer? boolean whether words of more than three letters are compared by their stems (default true)
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---coco_rouge_l options
---@class COCORougeLOptions
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---cider options
---@class CIDErOptions
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---chrf options
---@class ChrfOptions
---@field char_order? integer the longest n-grams of characters (from 1 to 20; default 6)
---@field word_order? integer the longest n-grams of words; 2 is chrF++ (from 0 to 10; default 0)
---@field beta? integer recall counts for so many times as much as precision (from 0 to 100; default 2)
---@field lowercase? boolean whether case counts for nothing (default false)
---@field whitespace? boolean whether spaces are characters (default false)
---@field eps_smoothing? boolean whether n-grams that a text is too short for count as 0 instead of not at all (default false)
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---chrfpp options
---@class ChrfPlusPlusOptions
---@field char_order? integer the longest n-grams of characters (from 1 to 20; default 6)
---@field word_order? integer the longest n-grams of words; 2 is chrF++ (from 0 to 10; default 2)
---@field beta? integer recall counts for so many times as much as precision (from 0 to 100; default 2)
---@field lowercase? boolean whether case counts for nothing (default false)
---@field whitespace? boolean whether spaces are characters (default false)
---@field eps_smoothing? boolean whether n-grams that a text is too short for count as 0 instead of not at all (default false)
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---ter options
---@class TEROptions
---@field normalized? boolean whether punctuation stands alone (default false)
---@field no_punct? boolean whether punctuation is left out (default false)
---@field asian_support? boolean whether that holds for punctuation and scripts of East Asia too (default false)
---@field case_sensitive? boolean whether case counts (default false)
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---pyter options
---@class PyterOptions
---@field lowercase? boolean whether case counts for nothing: WebNLG's scripts lower all texts first (default false)
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---@alias Tokens
---| "norm"
---| "coco"
---| "none"

---meteor options
---@class METEOROptions
---@field tokenize? Tokens how texts become words: METEOR's -norm, coco (captions, E2E), or none (default "norm")
---@field synonyms? boolean whether words match that share a meaning in WordNet, where its files are (default true)
---@field wordnet? string the folder of WordNet's files; without one, /usr/share/wordnet if it is there
---@field paraphrases? string METEOR's table of paraphrases, unpacked; without one, phrases do not match
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---coco_bleu options
---@class COCOBLEUOptions
---@field bootstrap? integer draw so many corpora from the segments, for a confidence interval (from 2 to 1000000)
---@field seed? integer where the draws begin; sacreBLEU's is 12345 (at least 0; default 12345)

---Metrics of classification and regression, and of texts against references.
---@class metricslib
metrics = {}

---share of predictions equal to their references, 0 to 1
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.accuracy(predictions, references) end

---2TP / (2TP + FP + FN) of class 1 against class 0, 0 to 1; 0 where undefined
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.f1(predictions, references) end

---correlation of predicted with true classes, -1 to 1; 0 where either has one class only
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.matthews_correlation(predictions, references) end

---linear correlation, -1 to 1; 0 where predictions or references are constant
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.pearson(predictions, references) end

---rank correlation with averaged ties, -1 to 1; 0 where either side is constant
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.spearmanr(predictions, references) end

---mean squared error, 0 or more; lower is better
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.mse(predictions, references) end

---BLEU of plain texts with standard tokens, 0 to 100; 0 where no word matches
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? SacreBLEUOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.sacrebleu(hypotheses, references, options) end

---BLEU of texts that are split into words by spaces already, 0 to 100; 0 where no n-gram of some n from 1 to 4 matches
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? MultiBLEUOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.multi_bleu(hypotheses, references, options) end

---BLEU of plain texts with the tokens of mteval-v13a, 0 to 100; 0 where no n-gram of some n from 1 to 4 matches
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? MultiBLEUDetokOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.multi_bleu_detok(hypotheses, references, options) end

---BLEU of the E2E NLG Challenge: tokens of mteval-v13a in lower case, 0 to 1
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? E2EBLEUOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.e2e_bleu(hypotheses, references, options) end

---NIST, where rare n-grams count for more, 0 or more: tokens of mteval-v13a in lower case, n up to 5
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? NISTOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.nist(hypotheses, references, options) end

---mean F-score of single words, 0 to 1; against the best of several references
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? RougeOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.rouge1(hypotheses, references, options) end

---mean F-score of pairs of words, 0 to 1; against the best of several references
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? RougeOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.rouge2(hypotheses, references, options) end

---mean F-score of the longest common subsequence, 0 to 1; against the best of several references
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? RougeOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.rougeL(hypotheses, references, options) end

---mean F-score of the longest common subsequences of lines, of which each is a sentence, 0 to 1; against the best of several references
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? RougeOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.rougeLsum(hypotheses, references, options) end

---ROUGE-L of MS COCO's captions: best precision and best recall over the references, beta 1.2, mean of the segments, 0 to 1
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? COCORougeLOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.coco_rouge_l(hypotheses, references, options) end

---CIDEr-D of MS COCO's captions, mean of the segments, 0 to 10; how rare n-grams are is counted in the references that are given
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? CIDErOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.cider(hypotheses, references, options) end

---F-score of shared n-grams of characters, 0 to 100
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? ChrfOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.chrf(hypotheses, references, options) end

---chrF++: F-score of shared n-grams of characters and of words, 0 to 100
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? ChrfPlusPlusOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.chrfpp(hypotheses, references, options) end

---translation edit rate: edits per word of the references, times 100, 0 or more; lower is better
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? TEROptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.ter(hypotheses, references, options) end

---translation edit rate without limits on moves, words of NLTK, mean of the segments, 0 or more; lower is better
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? PyterOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.pyter(hypotheses, references, options) end

---METEOR 1.5 for English: matches of words, stems, and synonyms where WordNet is, with a penalty for their order, 0 to 1
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? METEOROptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.meteor(hypotheses, references, options) end

---BLEU-1 of MS COCO's captions: tokens of the Penn Treebank without punctuation, in lower case, 0 to 1
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? COCOBLEUOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.coco_bleu_1(hypotheses, references, options) end

---BLEU-2 of MS COCO's captions: tokens of the Penn Treebank without punctuation, in lower case, 0 to 1
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? COCOBLEUOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.coco_bleu_2(hypotheses, references, options) end

---BLEU-3 of MS COCO's captions: tokens of the Penn Treebank without punctuation, in lower case, 0 to 1
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? COCOBLEUOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.coco_bleu_3(hypotheses, references, options) end

---BLEU-4 of MS COCO's captions: tokens of the Penn Treebank without punctuation, in lower case, 0 to 1
---@param hypotheses string[] the texts to score
---@param references (string|string[])[] for each of them a text, or a list of texts
---@param options? COCOBLEUOptions see the fields
---@return TextScore # the score, and what it is made of
function metrics.coco_bleu_4(hypotheses, references, options) end

---Whether more of a metric is better.
---@param name string a metric, "loss", "perplexity" or "combined", also with "eval_" in front or an evaluation set's suffix
---@return boolean? # true or false; nil for a name that is not known
function metrics.greater_is_better(name) end

return metrics
