---@meta
-- Written by `perigee stubs` from the declarations.

---@alias InitLoRAWeights
---| "true"
---| "gaussian"

---@alias Bias
---| "none"
---| "all"
---| "lora_only"

---lora options
---@class LoRAOptions
---@field r? integer rank of the update (from 1 to 65536; default 8)
---@field lora_alpha? number numerator of the scale lora_alpha / r (above 0; default 8)
---@field lora_dropout? number dropout on the adapter's input (at least 0 and below 1; default 0)
---@field use_rslora? boolean scale by lora_alpha / sqrt(r) (default false)
---@field init_lora_weights? InitLoRAWeights how A starts: "true" Kaiming-uniform, "gaussian" with deviation 1 / r (default "true")
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---@alias Sigma
---| "full"
---| "diagonal"

---@alias Init
---| "kaiming_uniform"
---| "normal"

---delora options
---@class DeLoRAOptions
---@field r? integer rank; that of the LoRA, with over (from 1 to 65536; default 8)
---@field lora_alpha? number numerator of the scale lora_alpha / r; default: 2 r, or that of the LoRA (above 0)
---@field sigma? Sigma what trains between the factors: a full matrix, or a diagonal (default "full")
---@field init_weights? Init how the frozen factors start, without over (default "kaiming_uniform")
---@field over? string name of the LoRA adapter to build on; Sigma then starts at the identity
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---classifier options
---@class ClassifierOnlyOptions
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---full options
---@class FullFineTuningOptions
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---A fine-tuning method with its options, for Model:add_adapter.
---@class Adapter
---@field name string the adapter's name in a model
---@field method string the method's name
local Adapter = {}

---Parameter-efficient fine-tuning methods.
---@class adapterslib
adapters = {}

---Low-rank adaptation: trains B A, added to the frozen weight.
---@param options? LoRAOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.lora(options) end

---Decomposition-based LoRA: trains only Sigma between frozen A and B.
---@param options? DeLoRAOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.delora(options) end

---Trains only the head (modules_to_save).
---@param options? ClassifierOnlyOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.classifier(options) end

---Trains every parameter of the model.
---@param options? FullFineTuningOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.full(options) end

return adapters
