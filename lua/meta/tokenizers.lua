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

---What somebody says in a conversation; a template may read further fields.
---@class ChatMessage
---@field role string who: usually "system", "user" or "assistant"
---@field content string what is said

---apply_chat_template options
---@class ChatTemplateOptions
---@field add_generation_prompt? boolean end with what stands in front of an answer (default false)
---@field continue_final_message? boolean leave the last message open, so that the model goes on with it (default false)
---@field tokenize? boolean give token ids, which model:generate takes; false: the text (default true)
---@field tools? any list of functions that the model may call, as JSON schemas
---@field documents? any list of texts to answer from
---@field chat_template? string a template, or the name of one of the model's; default: the model's own
---@field chat_template_kwargs? any table of further variables of the template

---A tokenizer of a model.
---@class Tokenizer
---@field vocab_size integer number of tokens
local Tokenizer = {}

---Token ids of a text.
---@param text string any text
---@param options? EncodeOptions see the fields
---@return table # table: input_ids, token_type_ids, special_tokens_mask
function Tokenizer:encode(text, options) end

---A conversation in the form in which a chat model reads it, as its chat template says.
---@param messages ChatMessage[] who says what, in order
---@param options? ChatTemplateOptions see the fields
---@return any # list of token ids; with tokenize = false the text, special tokens included
function Tokenizer:apply_chat_template(messages, options) end

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
