---@meta
-- Written by `perigee stubs` from the declarations.

---tokenizer training options
---@class TokenizerTrainingOptions
---@field vocab_size integer number of tokens; there are fewer where the texts have no more pairs to merge (at least 1)
---@field special_tokens? string[] take the first ids; at least <s>, which begins a text, and </s>, which ends it (default {"<s>", "<pad>", "</s>", "<unk>", "<mask>"})

---encode options
---@class EncodeOptions
---@field pair? string second text of a pair
---@field max_length? integer truncate to so many tokens, longest text first (at least 1)
---@field add_special_tokens? boolean whether to add the tokens that the model expects (default true)

---A tokenizer of a model.
---@class Tokenizer
---@field vocab_size integer number of tokens
local Tokenizer = {}

---Token ids of a text.
---@param text string any text
---@param options? EncodeOptions see the fields
---@return table # table: input_ids, token_type_ids, special_tokens_mask
function Tokenizer:encode(text, options) end

---Tokens of a text, without special ones.
---@param text string any text
---@return string[] # list of tokens
function Tokenizer:tokenize(text) end

---Text of token ids.
---@param ids integer[] token ids
---@param skip_special_tokens? boolean whether to leave special tokens out (default true)
---@return string # text
function Tokenizer:decode(ids, skip_special_tokens) end

---The id of a token.
---@param token string the token
---@return integer? # id, or nil
function Tokenizer:token_to_id(token) end

---The token of an id.
---@param id integer the id
---@return string? # token, or nil
function Tokenizer:id_to_token(id) end

---Text to token ids and back.
---@class tokenizerslib
tokenizers = {}

---Reads tokenizer.json, vocab.txt, vocab.json with merges.txt, spiece.model, or tokenizer.model.
---@param folder string the model's folder
---@return Tokenizer # tokenizer
function tokenizers.load(folder) end

---Learns a byte-level BPE tokenizer from a task's training texts, always the same one from the same texts.
---@param task Task whose training texts, completions included, to learn from
---@param options? TokenizerTrainingOptions see the fields
---@return Tokenizer # tokenizer
function tokenizers.train(task, options) end

return tokenizers
