---@meta
-- Written by `perigee stubs` from the declarations.

---glue options
---@class GLUEOptions
---@field train_file? string training file in the folder (default "train.tsv")
---@field max_train_samples? integer take so many training rows of a seeded shuffle (at least 1)
---@field max_eval_samples? integer take so many rows of each evaluation set (at least 1)
---@field sample_seed? integer seeds the choice of rows (at least 0; default 1)

---@alias TableFormatChoice
---| "tsv"
---| "csv"
---| "jsonl"

---table options
---@class TableOptions
---@field name? string what reports call the task; default: the training file's name
---@field train_file string training data with a header: .tsv, .csv or .jsonl
---@field validation_file? string what to evaluate on, in the same form
---@field validation_files? string[] several of them, instead of one; the first one selects the best weights (default {})
---@field format? TableFormatChoice default: by the file's ending
---@field text_column? string column of the text (default "text")
---@field text_pair_column? string column of a second text
---@field label_column? string column of the label, or of the score (default "label")
---@field problem_type? ProblemType classes or a number (default "single_label_classification")
---@field labels? string[] names of the classes, in order; default: those in the training file, sorted
---@field metrics? string[] metrics to compute; default: accuracy, or pearson and spearmanr
---@field metric_for_best_model? string default: the first metric
---@field max_train_samples? integer take so many training rows of a seeded shuffle (at least 1)
---@field max_eval_samples? integer take so many rows of each evaluation file (at least 1)
---@field sample_seed? integer seeds the choice of rows (at least 0; default 1)

---masked_lm options
---@class MaskedLMOptions
---@field train_file string text, one example a line; a tab separates the two texts of a pair; or "builtin:corpus"
---@field validation_file? string text to evaluate on, in the same form

---causal_lm options
---@class CausalLMOptions
---@field train_file string a table (.jsonl, .tsv, .csv) with the columns named here; or, without columns, text with one example a line, or "builtin:corpus"
---@field validation_file? string what to evaluate on, in the same form
---@field format? string of tables: "tsv", "csv" or "jsonl"; default: by the file's ending
---@field text_column? string column of a table with whole texts
---@field prompt_column? string column with what is given; it does not count in the loss
---@field completion_column? string column with what should follow; it is put behind the prompt as it is, so begin it with a space where words are parted
---@field metrics? string[] metrics of texts that the model writes for an evaluation, beside perplexity: "rougeL", "sacrebleu", ...; computed where trainer.fit has 'generation' (default {})
---@field max_train_samples? integer take so many training rows of a seeded shuffle (at least 1)
---@field max_eval_samples? integer take so many rows of the validation file (at least 1)
---@field sample_seed? integer seeds the choice of rows (at least 0; default 1)
---@field metric_options? table<string, table> options of the metrics of texts by the metrics' names, those of the module metrics: { meteor = { tokenize = "coco" } }

---seq2seq_lm options
---@class Seq2SeqLMOptions
---@field train_file string a table (.jsonl, .tsv, .csv) with the columns named here
---@field validation_file? string what to evaluate on, in the same form
---@field format? string of the tables: "tsv", "csv" or "jsonl"; default: by the file's ending
---@field input_column string column with the texts that the encoder reads
---@field target_column string column with what the decoder should write
---@field source_prefix? string put in front of each input: T5's "translate English to Romanian: " (default "")
---@field metrics? string[] metrics of texts that the model writes for an evaluation, beside perplexity: "rougeL", "sacrebleu", ...; computed where trainer.fit has 'generation' (default {})
---@field max_train_samples? integer take so many training rows of a seeded shuffle (at least 1)
---@field max_eval_samples? integer take so many rows of the validation file (at least 1)
---@field sample_seed? integer seeds the choice of rows (at least 0; default 1)
---@field metric_options? table<string, table> options of the metrics of texts by the metrics' names, those of the module metrics: { meteor = { tokenize = "coco" } }

---@alias WritingType
---| "causal_lm"
---| "seq2seq_lm"

---@alias DataPart
---| "train"
---| "validation"
---| "test"

---e2e options
---@class E2EOptions
---@field folder string folder with the data set's files, or its built-in stand-in
---@field task_type? WritingType which models it is read for: "causal_lm" or "seq2seq_lm"
---@field eval_split? DataPart what is evaluated: "validation" or "test" (default "validation")
---@field train_files? string[] files of the folder to train on; default: those of the data set (default {})
---@field eval_files? string[] files of the folder to evaluate on; default: those of eval_split (default {})
---@field source_prefix? string put in front of each input where an encoder reads it
---@field separator? string put behind each input where a decoder alone reads it; default: "<|endoftext|>"
---@field max_train_samples? integer take so many training texts of a seeded shuffle (at least 1)
---@field max_eval_samples? integer take so many inputs to evaluate on, with all their texts (at least 1)
---@field sample_seed? integer seeds the choice of examples (at least 0; default 1)
---@field metric_options? table<string, table> options of the metrics of texts by the metrics' names, those of the module metrics: { meteor = { tokenize = "coco" } }

---@alias Categories
---| "all"
---| "seen"
---| "unseen"

---webnlg options
---@class WebNLGOptions
---@field folder string folder with the data set's files, or its built-in stand-in
---@field task_type? WritingType which models it is read for: "causal_lm" or "seq2seq_lm"
---@field eval_split? DataPart what is evaluated: "validation" or "test" (default "validation")
---@field train_files? string[] files of the folder to train on; default: those of the data set (default {})
---@field eval_files? string[] files of the folder to evaluate on; default: those of eval_split (default {})
---@field source_prefix? string put in front of each input where an encoder reads it
---@field separator? string put behind each input where a decoder alone reads it; default: "<|endoftext|>"
---@field max_train_samples? integer take so many training texts of a seeded shuffle (at least 1)
---@field max_eval_samples? integer take so many inputs to evaluate on, with all their texts (at least 1)
---@field sample_seed? integer seeds the choice of examples (at least 0; default 1)
---@field categories? Categories which entries are evaluated: "all", or those of categories that are in the training set, "seen", or not (default "all")
---@field metric_options? table<string, table> options of the metrics of texts by the metrics' names, those of the module metrics: { meteor = { tokenize = "coco" } }

---xsum options
---@class XSumOptions
---@field folder string folder with the data set's files, or its built-in stand-in
---@field task_type? WritingType which models it is read for: "causal_lm" or "seq2seq_lm"
---@field eval_split? DataPart what is evaluated: "validation" or "test" (default "validation")
---@field train_files? string[] files of the folder to train on; default: those of the data set (default {})
---@field eval_files? string[] files of the folder to evaluate on; default: those of eval_split (default {})
---@field source_prefix? string put in front of each input where an encoder reads it
---@field separator? string put behind each input where a decoder alone reads it; default: "<|endoftext|>"
---@field max_train_samples? integer take so many training texts of a seeded shuffle (at least 1)
---@field max_eval_samples? integer take so many inputs to evaluate on, with all their texts (at least 1)
---@field sample_seed? integer seeds the choice of examples (at least 0; default 1)
---@field metric_options? table<string, table> options of the metrics of texts by the metrics' names, those of the module metrics: { meteor = { tokenize = "coco" } }

---wmt16_en_ro options
---@class WMT16Options
---@field folder string folder with the data set's files, or its built-in stand-in
---@field task_type? WritingType which models it is read for: "causal_lm" or "seq2seq_lm"
---@field eval_split? DataPart what is evaluated: "validation" or "test" (default "validation")
---@field train_files? string[] files of the folder to train on; default: those of the data set (default {})
---@field eval_files? string[] files of the folder to evaluate on; default: those of eval_split (default {})
---@field source_prefix? string put in front of each input where an encoder reads it
---@field separator? string put behind each input where a decoder alone reads it; default: "<|endoftext|>"
---@field max_train_samples? integer take so many training texts of a seeded shuffle (at least 1)
---@field max_eval_samples? integer take so many inputs to evaluate on, with all their texts (at least 1)
---@field sample_seed? integer seeds the choice of examples (at least 0; default 1)
---@field metric_options? table<string, table> options of the metrics of texts by the metrics' names, those of the module metrics: { meteor = { tokenize = "coco" } }

---Examples to train and evaluate on, with their labels and metrics.
---@class Task
---@field name string the task's name
---@field num_labels integer number of classes; 1 for regression, 0 for masked language modelling
---@field labels string[] names of the classes, in order
---@field train_size integer number of training examples
---@field metrics string[] names of the metrics
local Task = {}

---One training example, to look at.
---@param index integer 0-based (at least 0)
---@return table # table: text, text_pair, label or completion, line
function Task:example(index) end

---The texts of an evaluation set, for Model:generate.
---@param set? string its name; default: the first set
---@return string[] # list of texts
function Task:inputs(set) end

---What may be written for each of `inputs`, for metrics.
---@param set? string its name; default: the first set
---@return any[] # list of lists of texts, without white space at their ends
function Task:references(set) end

---The task with some of its examples, in every set; its classes stay.
---@param keep function is called with every example, a table as `example` gives it; the task has those for which it returns true
---@return Task # new task
function Task:filter(keep) end

---Data sets and what is to be learnt from them.
---@class taskslib
tasks = {}

---A GLUE task from its folder: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli.
---@param name string the task, in any spelling: "mnli", "SST-2"
---@param folder string folder with train.tsv and dev.tsv in GLUE's layout; or "builtin:mnli", "builtin:rte"
---@param options? GLUEOptions see the fields
---@return Task # task
function tasks.glue(name, folder, options) end

---Classification or regression of one's own TSV, CSV or JSONL files.
---@param options? TableOptions see the fields
---@return Task # task
function tasks.table(options) end

---Masked language modelling of a text file.
---@param options? MaskedLMOptions see the fields
---@return Task # task
function tasks.masked_lm(options) end

---Causal language modelling: of texts, or of completions that follow prompts, in which case the completions alone count.
---@param options? CausalLMOptions see the fields
---@return Task # task
function tasks.causal_lm(options) end

---Sequence-to-sequence language modelling: of texts, and what should be written for them.
---@param options? Seq2SeqLMOptions see the fields
---@return Task # task
function tasks.seq2seq_lm(options) end

---The E2E NLG Challenge: a sentence for the attributes of a restaurant; files: trainset.csv, devset.csv and testset_w_refs.csv, or .txt files with lines of input||text. For models of base:causal_lm(), unless task_type says otherwise.
---@param options? E2EOptions see the fields
---@return Task # task
function tasks.e2e(options) end

---The WebNLG Challenge of 2017: a text for a set of facts; files: train.json, dev.json and test.json. For models of base:causal_lm(), unless task_type says otherwise.
---@param options? WebNLGOptions see the fields
---@return Task # task
function tasks.webnlg(options) end

---XSum: a summary of one sentence for an article; files: train.jsonl, dev.jsonl and test.jsonl. For models of base:seq2seq_lm(), unless task_type says otherwise.
---@param options? XSumOptions see the fields
---@return Task # task
function tasks.xsum(options) end

---WMT 2016, English to Romanian: a translation for a sentence; files: train, dev and test, each with .en and .ro, or .tsv or .jsonl files. For models of base:seq2seq_lm(), unless task_type says otherwise.
---@param options? WMT16Options see the fields
---@return Task # task
function tasks.wmt16_en_ro(options) end

return tasks
