---@meta
-- Written by `perigee stubs` from the declarations.

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

---Reads tokenizer.json, vocab.txt, or vocab.json with merges.txt.
---@param folder string the model's folder
---@return Tokenizer # tokenizer
function tokenizers.load(folder) end

return tokenizers
