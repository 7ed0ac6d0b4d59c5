---@meta
-- Written by `perigee stubs` from the declarations.

---@alias QuantType
---| "fp4"
---| "nf4"

---quantization_config
---@class BitsAndBytesConfig
---@field load_in_4bit boolean whether weights are held in 4 bits; false leaves them as they are
---@field bnb_4bit_quant_type? QuantType "nf4", quantiles of the normal distribution, which QLoRA uses, or "fp4" (default "fp4")
---@field bnb_4bit_use_double_quant? boolean hold the blocks' statistics in 8 bits: 4.127 instead of 4.5 bits a weight (default false)
---@field bnb_4bit_blocksize? integer weights that share a statistic: 32, 64, 128, ... 4096 (from 32 to 4096; default 64)
---@field llm_int8_skip_modules? string[] parts of the paths of layers that stay float32, beside the head's (default {})

---load options
---@class LoadOptions
---@field quantization_config? BitsAndBytesConfig holds the frozen weights of all linear layers but the head's in 4 bits; adapters on them train as usual (QLoRA)

---from_config options
---@class ConfigOptions
---@field config string|table path of a config.json, or of its folder; or a table of what a config.json says, { model_type = "gpt2", n_layer = 6, ... }, in which vocab_size and the ids of special tokens are the tokenizer's unless they are given
---@field tokenizer? Tokenizer default: the one in the folder
---@field seed? integer seeds the weights; default: --seed, else 42 (at least 0)

---@alias ProblemType
---| "single_label_classification"
---| "regression"

---@alias HeadChoiceOption
---| "saved"
---| "new"

---head options
---@class ClassifierOptions
---@field task? Task the task whose labels the head has; instead of the other fields
---@field num_labels? integer number of classes; 1 for regression (from 1 to 1000000)
---@field labels? string[] names of the classes, in order; default: those of the task, else LABEL_0, ...
---@field problem_type? ProblemType default: regression for one label, else classification
---@field seed? integer seeds the head's weights; default: --seed, else 42 (at least 0)
---@field head? HeadChoiceOption the folder's, which must be one for these labels, or a new one; default: the folder's where the names of its labels are the same, in any order, or it has none, else a new one

---head options
---@class HeadOptions
---@field task? Task the task whose labels the head has; instead of the other fields
---@field num_labels? integer number of classes; 1 for regression (from 1 to 1000000)
---@field labels? string[] names of the classes, in order; default: those of the task, else LABEL_0, ...
---@field problem_type? ProblemType default: regression for one label, else classification
---@field seed? integer seeds the head's weights; default: --seed, else 42 (at least 0)

---What a model says about a text, or a pair of texts.
---@class Prediction
---@field label string? the most probable class; nil for regression
---@field probabilities table<string, number>? by class, together 1; nil for regression
---@field score number? the regression's value; nil for classification

---@alias BeamConvention
---| "transformers"
---| "lora"

---generation options
---@class GenerationOptions
---@field max_new_tokens? integer tokens that are written at most (from 1 to 10000000)
---@field min_new_tokens? integer an end is not allowed before so many were written (from 0 to 10000000)
---@field max_length? integer the same as max_new_tokens, with the prompt's tokens, or the decoder's start token; where both are left out, 20 tokens are written, as in Transformers (from 1 to 10000000)
---@field min_length? integer the same as min_new_tokens, with the prompt's tokens, or the decoder's start token (from 0 to 10000000; default 0)
---@field do_sample? boolean draw each token by its probability, instead of the most probable one (default false)
---@field temperature? number with do_sample: scores are divided by it; below 1 sharpens (above 0; default 1)
---@field top_k? integer with do_sample: draw among the so many most probable tokens; 0: among all (from 0 to 10000000; default 50)
---@field top_p? number with do_sample: draw among the most probable tokens that have this probability together (from 0 to 1; default 1)
---@field min_p? number with do_sample: leave out tokens below this share of the most probable one's probability (from 0 to 1; default 0)
---@field num_beams? integer hypotheses that a beam search keeps; 1: no beam search (from 1 to 1024; default 1)
---@field beam_search? BeamConvention whose beam search: Transformers' of today, or the LoRA authors' of their data-to-text experiments (default "transformers")
---@field length_penalty? number a hypothesis' log probability is divided by its length to this power (default 1)
---@field early_stopping? boolean|"never" when a beam search ends: true: with num_beams finished ones; false: when a better one is improbable; "never": when none can be better (default false)
---@field no_repeat_ngram_size? integer no sequence of so many tokens occurs twice; 0: any may (from 0 to 1000; default 0)
---@field repetition_penalty? number above 1 makes tokens that occurred less probable (above 0; default 1)
---@field eos_token_id? integer|integer[] the token that ends a text, or a list of them; default: the model's
---@field decoder_start_token_id? integer what the decoder of a model with an encoder begins with; default: the model's (from 0 to 2147483647)
---@field forced_bos_token_id? integer|integer[] the only token that may follow the first one, which in a model with an encoder is the decoder's start; {}: none is forced; default: the model's
---@field forced_eos_token_id? integer|integer[] the only token, or a list of them, at the last place; {}: none is forced; default: the model's
---@field suppress_tokens? integer|integer[] tokens that are never written; {}: none; default: the model's
---@field begin_suppress_tokens? integer|integer[] tokens that no text begins with, behind one that forced_bos_token_id forces; {}: none; default: the model's
---@field stop_strings? string[] texts that end the writing once they were written; they stay in the result (default {})
---@field num_return_sequences? integer results for each prompt (from 1 to 1024; default 1)
---@field batch_size? integer prompts that are worked on at a time; says nothing about the results (from 1 to 65536; default 16)
---@field use_cache? boolean keep the keys and values of what was read, instead of computing them for each token again (default true)
---@field seed? integer seeds the draws of do_sample; default: --seed, else 42 (at least 0)
---@field return_dict_in_generate? boolean give a table for each text, with its tokens and score, instead of the text (default false)
---@field logits_processor? fun(tokens: integer[], scores: Tensor): Tensor? changes the scores of the next token: called for each text, or hypothesis of a beam search, and step, with the tokens so far (the prompt's too) and the scores, float32 [vocabulary]; changes them in place, or returns others; -inf forbids a token. It comes behind the rules of the options, and before temperature, top_k, top_p and min_p; in a beam search scores are log probabilities, in that of the LoRA authors logits

---What a model wrote behind a prompt.
---@class WrittenText
---@field text string without the prompt, and without special tokens
---@field tokens integer[] what was written, with the token that ended the text if one did
---@field score number log probability; of a beam search divided as length_penalty says

---@alias Pooling
---| "mean"
---| "cls"
---| "lasttoken"

---embed options
---@class EmbeddingOptions
---@field pooling? Pooling the mean over a text's tokens, the first token's state or the last token's; default: what the model's folder says where it is one of sentence-transformers', else mean
---@field normalize? boolean divide each vector by its length; default: what the folder says, else false
---@field layer? integer which layer's states: 0: the embeddings, 1: the first layer's, ...; negative ones count from the end, as in Transformers' hidden_states (from -1000 to 1000; default -1)
---@field max_length? integer tokens of one text, longer ones are cut; default: what the folder says, else what the model takes (from 1 to 1000000)

---hidden_states options
---@class HiddenStateOptions
---@field layer? integer which layer's states: 0: the embeddings, 1: the first layer's, ...; negative ones count from the end, as in Transformers' hidden_states (from -1000 to 1000; default -1)
---@field max_length? integer tokens of one text, longer ones are cut; default: what the folder says, else what the model takes (from 1 to 1000000)

---set_adapter options
---@class SetAdapterOptions
---@field inference_mode? boolean freeze the adapters; else their parameters train (default false)

---@alias CombinationType
---| "cat"
---| "svd"
---| "linear"

---add_weighted_adapter options
---@class WeightedAdapterOptions
---@field adapters string[] names of attached adapters whose updates are products of two factors
---@field weights number[] one number for each
---@field adapter_name string what the sum is called
---@field combination_type? CombinationType cat: exact, the ranks add up; svd: the best of one rank; linear: sums of factors, as PEFT's default (default "cat")
---@field svd_rank? integer rank for svd; default: the largest of the adapters' (from 1 to 65536)

---set_rank options
---@class RankOptions
---@field r integer rank to compute with (at least 1)
---@field adapter_name? string which adapter; default: the one that was attached last

---adapter file options
---@class AdapterFileOptions
---@field adapter_name? string which adapter; default: the one that was attached last

---@alias MatrixForm
---| "lora"
---| "vector"
---| "constant"
---| "none"

---@alias ColumnForm
---| "lora"
---| "vector"
---| "none"

---@alias BiasForm
---| "vector"
---| "constant"
---| "none"

---GLoRA configuration
---@class GLoRAForms
---@field A MatrixForm scale of the weight
---@field B MatrixForm shift of the weight
---@field C ColumnForm column that goes through the weight into the bias
---@field D BiasForm scale of the bias
---@field E BiasForm shift of the bias

---set_glora options
---@class GLoRAOptions
---@field configurations? GLoRAForms[] one for each layer, in the order of glora_layers; default: drawn in training again (default {})
---@field adapter_name? string which adapter; default: the one that was attached last

---load_adapter options
---@class LoadAdapterOptions
---@field adapter_name? string what the adapter is called in the model (default "default")
---@field head? HeadChoiceOption whether the head's values are taken too, or the model keeps its own (default "saved")

---A pre-trained body, from which models with heads are made. They share its frozen weights.
---@class BaseModel
---@field name string what it was loaded by
---@field model_type string its architecture: "bert", "roberta"
---@field config any the content of config.json
---@field tokenizer Tokenizer its tokenizer
local BaseModel = {}

---A model for classification or regression; without options, for what the folder's head is for. Everything but the head is frozen until an adapter says otherwise.
---@param options? ClassifierOptions see the fields
---@return Model # model
function BaseModel:classifier(options) end

---A masked language model; every parameter trains, or none until an adapter says so where weights are in 4 bits.
---@return Model # model
function BaseModel:masked_lm() end

---A causal language model; every parameter trains, or none until an adapter says so where weights are in 4 bits.
---@return Model # model
function BaseModel:causal_lm() end

---A model whose decoder writes what follows from the encoder's text; every parameter trains, or none until an adapter says so where weights are in 4 bits.
---@return Model # model
function BaseModel:seq2seq_lm() end

---A model with a head, and the adapters attached to it.
---@class Model
---@field trainable integer number of trainable parameters
---@field total integer number of parameters
---@field labels string[] names of the classes, in the order of the head's outputs
---@field tokenizer Tokenizer its tokenizer
---@field head_modules string[] paths of the head's modules
---@field adapters table[] attached adapters, oldest first: tables of name, method, active, modules, parameters
local Model = {}

---All parameters: tables of name, shape, count, trainable.
---@return table[] # list of tables
function Model:parameters() end

---One parameter as a tensor; writes to it change the model.
---@param name string its state-dict name
---@return Tensor # tensor
function Model:parameter(name) end

---Paths of all linear layers: what target_modules can choose.
---@return string[] # list of paths
function Model:modules() end

---Attaches a method; everything but its own parameters and modules_to_save is frozen.
---@param adapter Adapter made by the module adapters
---@return Model # the model
function Model:add_adapter(adapter) end

---A model for another task: a new head on this body, with this model's adapters, frozen.
---@param options? HeadOptions see the fields
---@return Model # new model
function Model:new_head(options) end

---The same as new_head: a classifier on what this model's body has learnt.
---@param options? HeadOptions see the fields
---@return Model # new model
function Model:classifier(options) end

---Gives the classes other names: for a head whose labels have none, or that a task spells differently.
---@param labels string[] one for each output of the head, in order
---@return Model # the model
function Model:rename_labels(labels) end

---Freezes parameters.
---@param name string a part of their paths: "encoder.layer.0", "lora_A"
---@return integer # how many numbers it met
function Model:freeze(name) end

---Lets parameters train.
---@param name string a part of their paths: "classifier", "LayerNorm"
---@return integer # how many numbers it met
function Model:unfreeze(name) end

---Puts the active adapters into the weights. A probe batch must give the same logits before and after, else nothing is merged.
function Model:merge() end

---Takes merged updates out of the weights again.
function Model:unmerge() end

---Lets the adapters take part, or not. What was merged comes out of the weights first.
---@param on boolean whether they take part
function Model:enable_adapters(on) end

---Switches dropout on, for a training loop of one's own.
---@param seed? integer seeds dropout; default: --seed, else 42 (at least 0)
function Model:train(seed) end

---Switches dropout off.
function Model:eval() end

---Forgets all gradients.
function Model:zero_grad() end

---The mean loss of a batch, for a training loop of one's own.
---@param batch Batch made by trainer.loop
---@return Tensor # scalar tensor
function Model:loss(batch) end

---Scores of a batch, [sequences, labels], with gradients.
---@param batch Batch made by trainer.loop
---@return Tensor # tensor
function Model:logits(batch) end

---Classifies texts, or gives their scores.
---@param texts string|(string|string[])[] one text; or a list of texts and of pairs { "a", "b" }, so that a single pair is { { "a", "b" } }
---@param max_length? integer tokens of one input (from 2 to 1000000; default 128)
---@return Prediction|Prediction[] # for one text what the model says about it; for a list the same for each, in order
function Model:predict(texts, max_length) end

---Continues texts, with a model that base:causal_lm() gave; or writes for each what a decoder says about it, with one of base:seq2seq_lm().
---@param texts string|string[]|integer[]|integer[][] one text, or a list of texts; or token ids as they are, such as tokenizer:apply_chat_template gives
---@param options? GenerationOptions see the fields
---@return string|string[]|string[][]|WrittenText|WrittenText[]|WrittenText[][] # for one text what follows it, for a list the same for each, in order; with num_return_sequences above 1 a list for each
function Model:generate(texts, options) end

---Turns texts into vectors: without gradients, and without the head. Of a model with an encoder, its states are taken.
---@param texts string|string[] one text, or a list of texts
---@param options? EmbeddingOptions see the fields
---@return Tensor # for one text a tensor [size], for a list [texts, size]
function Model:embed(texts, options) end

---The states of the texts' tokens in a layer, those of tokens that the tokenizer adds included; without gradients.
---@param texts string|string[] one text, or a list of texts
---@param options? HiddenStateOptions see the fields
---@return Tensor|Tensor[] # for one text a tensor [tokens, size], for a list one for each
function Model:hidden_states(texts, options) end

---Lets some adapters take part, in the order in which they were attached, and no others. The last with a head of its own brings it.
---@param names string|string[] one or several
---@param options? SetAdapterOptions see the fields
---@return Model # the model
function Model:set_adapter(names, options) end

---Takes an adapter off the model. The head stays as it is.
---@param name string its name
function Model:delete_adapter(name) end

---Attaches a LoRA that is the weighted sum of others, frozen, in their place: they stay attached, and no longer take part.
---@param options? WeightedAdapterOptions see the fields
---@return Model # the model
function Model:add_weighted_adapter(options) end

---Lets a DyLoRA compute with its first rows alone.
---@param options? RankOptions see the fields
---@return Model # the model
function Model:set_rank(options) end

---The layers of a GLoRA supernet, in order.
---@param options? AdapterFileOptions which adapter
---@return table[] # list of tables: path, in_features, out_features, r, has_bias; A to E once they are chosen
function Model:glora_layers(options) end

---Gives every layer of a GLoRA supernet a configuration.
---@param options? GLoRAOptions see the fields
---@return Model # the model
function Model:set_glora(options) end

---Attaches an adapter from a folder: PEFT's, where the method is known here, or one that was saved here.
---@param folder string the folder; what this script saved goes by the name that it was saved under
---@param options? LoadAdapterOptions see the fields
---@return Model # the model
function Model:load_adapter(folder, options) end

---Writes an adapter's folder: PEFT's format where PEFT has the method, and a model card where it is known how it was trained.
---@param folder string inside the run directory
---@param options? AdapterFileOptions see the fields
function Model:save_adapter(folder, options) end

---Writes an adapter as a plain LoRA that PEFT loads, whatever its method.
---@param folder string inside the run directory
---@param options? AdapterFileOptions see the fields
function Model:export_lora(folder, options) end

---Writes a model folder that Transformers loads, with the tokenizer, and a model card where it is known how it was trained. Adapters must be merged.
---@param folder string inside the run directory
function Model:save(folder) end

---A model for `tasks.masked_lm` on what this model's body has learnt, with its adapters. All of it is frozen until an adapter or `unfreeze` says otherwise.
---@return Model # new model
function Model:masked_lm() end

---A model for `tasks.causal_lm` on what this model's body has learnt, with its adapters. All of it is frozen until an adapter or `unfreeze` says otherwise.
---@return Model # new model
function Model:causal_lm() end

---A model for `tasks.seq2seq_lm` on what this model's body has learnt, with its adapters. All of it is frozen until an adapter or `unfreeze` says otherwise.
---@return Model # new model
function Model:seq2seq_lm() end

---Transformer models from Hugging Face folders, or from a configuration with random weights.
---@class modelslib
models = {}

---Opens a model folder; weights are mapped, not read.
---@param name string folder, also one that this script saved; hub name in the local Hugging Face cache; or "builtin:tiny"
---@param options? LoadOptions see the fields
---@return BaseModel # base model
function models.load(name, options) end

---A model with seeded random weights.
---@param options? ConfigOptions see the fields
---@return BaseModel # base model
function models.from_config(options) end

return models
