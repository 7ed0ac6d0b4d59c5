---@meta
-- Written by `perigee stubs` from the declarations.

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
---@field use_dora? boolean DoRA: train the magnitude of each output apart from its direction (default false)
---@field init_lora_weights? boolean|string how A and B start: true A Kaiming-uniform and B zero, "gaussian" A with deviation 1 / r, false both random, "orthogonal", "pissa", "pissa_niter_N" or "olora" from the weight (default true)
---@field rank_pattern? table<string, integer> other ranks of some layers, by regular expressions for the end of their paths (default {})
---@field alpha_pattern? table<string, number> other lora_alpha of some layers, by regular expressions for the end of their paths (default {})
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
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
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---@alias LoRAFAVariant
---| "plain"
---| "projected"

---lora_fa options
---@class LoRAFAOptions
---@field r? integer rank of the update (from 1 to 65536; default 8)
---@field lora_alpha? number numerator of the scale lora_alpha / r (above 0; default 8)
---@field lora_dropout? number dropout on the adapter's input (at least 0 and below 1; default 0)
---@field use_rslora? boolean scale by lora_alpha / sqrt(r) (default false)
---@field variant? LoRAFAVariant B's gradient as it is, or projected with the inverse of A A^T (default "plain")
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---lora_fused options
---@class LoRAFusedOptions
---@field r? integer rank of each part's update (from 1 to 65536; default 4)
---@field lora_alpha? number numerator of the scale lora_alpha / r (above 0; default 8)
---@field lora_dropout? number dropout on the adapter's input (at least 0 and below 1; default 0)
---@field parts? string[] what is adapted: some of query, key and value (default {"query", "value"})
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---vera options
---@class VeRAOptions
---@field r? integer rank of the shared factors (from 1 to 65536; default 256)
---@field projection_prng_key? integer seed of the shared factors, as torch's generator takes it (at least 0; default 0)
---@field save_projection? boolean save the shared factors too; without them a reader draws them again (default true)
---@field vera_dropout? number dropout on the adapter's input (at least 0 and below 1; default 0)
---@field d_initial? number start of lambda_d (default 0.1)
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---@alias LoRAMiniTargets
---| "D"
---| "D+A"

---@alias LoRAMiniInit
---| "kaiming_all"
---| "zero_up"

---lora_mini options
---@class LoRAMiniOptions
---@field r? integer rank of the update (from 1 to 65536; default 8)
---@field a? integer width after the frozen down factor (from 1 to 65536; default 64)
---@field b? integer width before the frozen up factor (from 1 to 65536; default 64)
---@field targets? LoRAMiniTargets dense layers, or attention's too; target_modules and modules_to_save come first (default "D")
---@field init? LoRAMiniInit all factors Kaiming-uniform, or the trained up factor zero (default "kaiming_all")
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---loha options
---@class LoHaOptions
---@field r? integer rank of each of the two products (from 1 to 65536; default 8)
---@field alpha? number numerator of the scale alpha / r (above 0; default 8)
---@field init_weights? boolean start with a zero factor, so that the fresh adapter changes nothing (default true)
---@field rank_pattern? table<string, integer> other ranks of some layers, by regular expressions for the end of their paths (default {})
---@field alpha_pattern? table<string, number> other alpha of some layers, by regular expressions for the end of their paths (default {})
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---lokr options
---@class LoKrOptions
---@field r? integer rank of the factors that are products (from 1 to 65536; default 8)
---@field alpha? number numerator of the scale alpha / r (above 0; default 8)
---@field decompose_both? boolean make the small matrix a product too, where r is less than half of its larger side (default false)
---@field decompose_factor? integer first factor of a layer's sizes, or the largest below; default: near their roots (at least 1)
---@field init_weights? boolean start with a zero factor, so that the fresh adapter changes nothing (default true)
---@field rank_pattern? table<string, integer> other ranks of some layers, by regular expressions for the end of their paths (default {})
---@field alpha_pattern? table<string, number> other alpha of some layers, by regular expressions for the end of their paths (default {})
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---delta_lora options
---@class DeltaLoRAOptions
---@field r? integer rank of the update (from 1 to 65536; default 8)
---@field lora_alpha? number numerator of the scale lora_alpha / r (above 0; default 16)
---@field start_step? integer weights change after steps beyond this one, counted from 0; K in the paper (at least 0; default 0)
---@field update_ratio? number factor of the weights' updates; lambda in the paper (at least 0; default 0.5)
---@field lora_dropout? number dropout on the adapter's input; the paper has none (at least 0 and below 1; default 0)
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---@alias Definition
---| "code"
---| "paper"
---| "peft"

---adalora options
---@class AdaLoRAOptions
---@field init_r? integer rank of each layer at first (from 1 to 65536; default 12)
---@field target_r? integer mean rank of the layers at last (from 1 to 65536; default 8)
---@field lora_alpha? number numerator of the scale lora_alpha / init_r; 0 or less: init_r (default 8)
---@field lora_dropout? number dropout on the adapter's input (at least 0 and below 1; default 0)
---@field tinit? integer steps before the first cut (at least 0; default 0)
---@field tfinal? integer last steps, in which ranks stay (at least 0; default 0)
---@field deltaT? integer steps between cuts (at least 1; default 1)
---@field beta1? number average of importances: share that is kept in a step (at least 0 and below 1; default 0.85)
---@field beta2? number average of uncertainties: share that is kept in a step (at least 0 and below 1; default 0.85)
---@field orth_reg_weight? number weight of the penalty that keeps A and B orthogonal (at least 0; default 0.5)
---@field definition? Definition whose formulas, where they differ: the authors' code, their paper, or PEFT (default "code")
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---dylora options
---@class DyLoRAOptions
---@field r? integer largest rank (from 1 to 65536; default 8)
---@field lora_alpha? number numerator of the scale lora_alpha / rank in use (above 0; default 8)
---@field lora_dropout? number dropout on the adapter's input (at least 0 and below 1; default 0)
---@field frozen? boolean only the last of the rows in use has a gradient (default false)
---@field masked_update? boolean rows without a gradient stay as they are; else momentum and weight decay move them (default false)
---@field ranks? integer[] ranks of the steps, in turn, in place of draws (at least 1; default {})
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---ia3 options
---@class IA3Options
---@field feedforward_modules? string[] suffixes of the target layers whose input is scaled instead of their output; default: those that lead back to the hidden size
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---@alias NonLinearity
---| "swish"
---| "relu"
---| "gelu"
---| "tanh"
---| "gelu_new"

---@alias InitWeights
---| "bert"
---| "truncated_normal"
---| "zero_up"

---houlsby options
---@class HoulsbyOptions
---@field r? integer size of the bottleneck (from 1 to 65536; default 64)
---@field non_linearity? NonLinearity function between the adapter's layers; default: swish for houlsby, relu for pfeiffer
---@field init_weights? InitWeights how the adapter's layers start (default "bert")
---@field train_layer_norm? boolean train the body's layer norms too (default false)
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---pfeiffer options
---@class PfeifferOptions
---@field r? integer size of the bottleneck (from 1 to 65536; default 64)
---@field non_linearity? NonLinearity function between the adapter's layers; default: swish for houlsby, relu for pfeiffer
---@field init_weights? InitWeights how the adapter's layers start (default "bert")
---@field train_layer_norm? boolean train the body's layer norms too (default false)
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---prefix_tuning options
---@class PrefixTuningOptions
---@field num_virtual_tokens? integer keys and values in front of each sequence (from 1 to 65536; default 20)
---@field prefix_projection? boolean compute them from embeddings with two layers (default false)
---@field encoder_hidden_size? integer width of the projection; default: the model's hidden size (from 1 to 65536)
---@field prefix_dropout? number dropout on the prefix, as in P-tuning v2 (at least 0 and below 1; default 0)
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---prompt_tuning options
---@class PromptTuningOptions
---@field num_virtual_tokens? integer vectors in front of each sequence (from 1 to 65536; default 20)
---@field prompt_tuning_init? Init how they start: normal, as random tokens of the vocabulary, or as those of prompt_tuning_init_text (default "RANDOM")
---@field prompt_tuning_init_text? string the text to start from, with TEXT
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---p_tuning options
---@class PTuningOptions
---@field num_virtual_tokens? integer vectors in front of each sequence (from 1 to 65536; default 20)
---@field encoder_hidden_size? integer width of the network; default: the model's hidden size (from 1 to 65536)
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---bitfit options
---@class BitFitOptions
---@field biases? string[] which biases train: all, or some of query, key, value, intermediate, output, attention_layernorm, output_layernorm (default {"all"})
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---selective options
---@class SelectiveFineTuningOptions
---@field parameters? string[] names of parameters, or their ends after a dot, such as query.weight or LayerNorm.bias; default: the weights that give queries and values
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---classifier options
---@class ClassifierOnlyOptions
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---full options
---@class FullFineTuningOptions
---@field freeze_embeddings? boolean leave the word embeddings as they are; position and type embeddings train (default false)
---@field target_modules? string|string[] linear layers: a list of names or dotted suffixes, a regular expression for the whole path, or "all-linear"; default: PEFT's for the architecture
---@field exclude_modules? string[] suffixes of layers to leave out (default {})
---@field modules_to_save? string[] modules that train as they are and are saved with the adapter; default: the head
---@field layers_to_transform? integer[] numbers of the layers to adapt, from 0; default: all
---@field layers_pattern? string[] what the numbers of layers_to_transform stand behind in a path, such as "layer"; default: anything (default {})
---@field bias? Bias which biases train (default "none")
---@field adapter_name? string tells several adapters of one model apart (default "default")
---@field seed? integer seeds the adapter's weights; default: --seed, else 42 (at least 0)

---adapter definition
---@class DefinitionOptions
---@field doc? string what the method is, in one line (default "")
---@field config? table<string, any> the method's options: name = default, or name = { default, doc = , min = , max = , choices = { } } (default {})
---@field build fun(layer: AdaptedLayer, c: table): table<string, Tensor> makes a layer's parameters, by the names that they are saved under; what is frozen with :freeze() never trains
---@field delta? fun(x: Tensor, w: table<string, Tensor>, c: table): Tensor what is added to the layer's output, [..., out], for its input x, [..., in]; or give weight
---@field weight? fun(weight: Tensor, w: table<string, Tensor>, c: table): Tensor the weight that takes the place of the layer's, [out, in]; or give delta
---@field merge? fun(weight: Tensor, w: table<string, Tensor>, c: table): Tensor the weight with the adapter's share, for methods that cannot be merged by what delta or weight say
---@field regularizer? fun(w: table<string, Tensor>, c: table): Tensor a scalar that is added to the loss, for each layer
---@field after_step? fun(w: table<string, Tensor>, c: table, step: integer, layer: AdaptedLayer) called for each layer after every update, numbered from 0, without recording; may change the layer's tensors, frozen ones as well
---@field dropout? string the name of the option that says which share of delta's input is dropped in training
---@field merge_tolerance? number how far logits up to 1 may move by a merge (above 0; default 0.0001)
---@field fresh_equals_base? boolean whether a new adapter changes nothing; perigee test-adapter checks it (default true)
---@field exact_gradient? boolean whether the gradients are those of the loss: not where something is detached from it (default true)

---@alias Start
---| "zeros"
---| "ones"
---| "normal"
---| "kaiming_uniform"

---shared options
---@class SharedOptions
---@field init_weights? Start how it starts; "kaiming_uniform" is uniform on 1/sqrt(fan in) to both sides (default "kaiming_uniform")
---@field std? number standard deviation of "normal" (at least 0; default 1)
---@field gain? number multiplies the starting values (default 1)
---@field trains? boolean whether training changes it (default false)

---A fine-tuning method with its options, for Model:add_adapter.
---@class Adapter
---@field name string the adapter's name in a model
---@field method string the method's name
local Adapter = {}

---A linear layer that a method of adapters.define adapts.
---@class AdaptedLayer
---@field in_features integer size of its input
---@field out_features integer size of its output
---@field max_in_features integer the largest in_features of all adapted layers
---@field max_out_features integer the largest out_features of all adapted layers
---@field path string its path in the model
---@field index integer its place among the adapted layers, from 0
---@field count integer number of adapted layers
---@field weight Tensor a copy of its weight without adapters, [out_features, in_features]
local AdaptedLayer = {}

---Uniform draws on 1/sqrt(fan in) to both sides, as LoRA's A starts.
---@param name string of the parameter: draws are a function of seed, layer and name, as for native methods
---@param shape integer|integer[] sizes of the axes
---@return Tensor # new tensor
function AdaptedLayer:kaiming_uniform(name, shape) end

---Normal draws with mean 0.
---@param name string of the parameter: draws are a function of seed, layer and name, as for native methods
---@param shape integer|integer[] sizes of the axes
---@param std? number standard deviation (at least 0; default 1)
---@return Tensor # new tensor
function AdaptedLayer:normal(name, shape, std) end

---One tensor for all layers of the adapter, frozen unless it trains; saved under its own name.
---@param name string of the tensor
---@param shape integer|integer[] sizes of the axes
---@param options? SharedOptions see the fields
---@return Tensor # tensor
function AdaptedLayer:shared(name, shape, options) end

---A layer's input as adapters.define's delta sees it first: what is linear in it is computed as fast as by a native method.
---@class LayerInput
---@operator add(LayerInput|Tensor|number): LayerInput
---@operator sub(LayerInput|Tensor|number): LayerInput
---@operator mul(LayerInput|Tensor|number): LayerInput
---@operator div(LayerInput|Tensor|number): LayerInput
---@operator unm: LayerInput
local LayerInput = {}

---The size of the last axis; others are not known yet.
---@param dim integer the axis: -1
---@return integer # its size
function LayerInput:size(dim) end

---x W^T.
---@param weight Tensor [out, in]
---@return LayerInput # the product
function LayerInput:linear(weight) end

---Times a number, or a vector along the last axis.
---@param other LayerInput|Tensor|number the other operand
---@return LayerInput # the product
function LayerInput:mul(other) end

---Divided by a number.
---@param other LayerInput|Tensor|number the other operand
---@return LayerInput # the quotient
function LayerInput:div(other) end

---The sum of two linear functions of the input.
---@param other LayerInput|Tensor|number the other operand
---@return LayerInput # the sum
function LayerInput:add(other) end

---Their difference.
---@param other LayerInput|Tensor|number the other operand
---@return LayerInput # the difference
function LayerInput:sub(other) end

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

---LoRA with a frozen random A: trains only B, and keeps r numbers of each input.
---@param options? LoRAFAOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.lora_fa(options) end

---LoRA for queries, values or keys alone of layers that give all three together, as GPT-2's c_attn.
---@param options? LoRAFusedOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.lora_fused(options) end

---Trains two vectors around random frozen factors that all layers share.
---@param options? VeRAOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.vera(options) end

---LoRA between frozen outer factors: trains r (a + b) numbers for each layer.
---@param options? LoRAMiniOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.lora_mini(options) end

---Trains the element-wise product of two low-rank products, of rank r^2.
---@param options? LoHaOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.loha(options) end

---Trains a Kronecker product of a small matrix and a low-rank one.
---@param options? LoKrOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.lokr(options) end

---Delta-LoRA: the frozen weight follows the changes of B A.
---@param options? DeltaLoRAOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.delta_lora(options) end

---AdaLoRA: ranks move to the layers where they matter most.
---@param options? AdaLoRAOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.adalora(options) end

---DyLoRA: a LoRA trained for all ranks up to r at once.
---@param options? DyLoRAOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.dylora(options) end

---Generalised LoRA: scales and shifts weight and bias; as a supernet, of all configurations at once.
---@param options? GLoRAOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.glora(options) end

---Trains vectors that scale keys, values and the feed-forward block's inner activations.
---@param options? IA3Options see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.ia3(options) end

---Bottleneck adapters behind attention and behind the feed-forward block of each layer.
---@param options? HoulsbyOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.houlsby(options) end

---One bottleneck adapter behind the feed-forward block of each layer.
---@param options? PfeifferOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.pfeiffer(options) end

---Trains keys and values in front of those of every sequence, in every layer (P-tuning v2).
---@param options? PrefixTuningOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.prefix_tuning(options) end

---Trains vectors in front of the word embeddings of every sequence.
---@param options? PromptTuningOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.prompt_tuning(options) end

---Prompt tuning whose vectors come from a small network.
---@param options? PTuningOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.p_tuning(options) end

---Trains the biases of the base model, or some of them.
---@param options? BitFitOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.bitfit(options) end

---Trains chosen parameters of the base model: by default the query and value weights.
---@param options? SelectiveFineTuningOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.selective(options) end

---Trains only the head (modules_to_save).
---@param options? ClassifierOnlyOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.classifier(options) end

---Trains every parameter of the model.
---@param options? FullFineTuningOptions see the fields
---@return Adapter # adapter for Model:add_adapter
function adapters.full(options) end

---Adds a method of the script's own: adapters.<name> then makes it, with everything that native methods have.
---@param name string what it is called; not the name of another method
---@param definition? DefinitionOptions see the fields
---@return function # its constructor: adapters.<name>
function adapters.define(name, definition) end

return adapters
