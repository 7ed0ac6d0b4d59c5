---@meta
-- Written by `perigee stubs` from the declarations.

---adamw options
---@class AdamWOptions
---@field parameters? Tensor[] float32 tensors that require gradients; all of them decay
---@field model? Model instead of parameters: a model's trainable ones; biases and norms do not decay
---@field learning_rate? number step size (at least 0; default 0.001)
---@field betas? number[] decay of the first and the second moment (default {0.9, 0.999})
---@field eps? number added to the root of the second moment (above 0; default 1e-08)
---@field weight_decay? number weight decay (at least 0; default 0.01)

---adamw_hf options
---@class AdamWHFOptions
---@field parameters? Tensor[] float32 tensors that require gradients; all of them decay
---@field model? Model instead of parameters: a model's trainable ones; biases and norms do not decay
---@field learning_rate? number step size (at least 0; default 0.001)
---@field betas? number[] decay of the first and the second moment (default {0.9, 0.999})
---@field eps? number added to the root of the second moment (above 0; default 1e-06)
---@field correct_bias? boolean whether the moments' start at 0 is made up for (default true)
---@field weight_decay? number weight decay (at least 0; default 0)

---adam options
---@class AdamOptions
---@field parameters? Tensor[] float32 tensors that require gradients; all of them decay
---@field model? Model instead of parameters: a model's trainable ones; biases and norms do not decay
---@field learning_rate? number step size (at least 0; default 0.001)
---@field betas? number[] decay of the first and the second moment (default {0.9, 0.999})
---@field eps? number added to the root of the second moment (above 0; default 1e-08)
---@field weight_decay? number weight decay (at least 0; default 0)

---sgd options
---@class SGDOptions
---@field parameters? Tensor[] float32 tensors that require gradients; all of them decay
---@field model? Model instead of parameters: a model's trainable ones; biases and norms do not decay
---@field learning_rate? number step size (at least 0; default 0.001)
---@field momentum? number decay of the sum of gradients; 0: there is none (at least 0 and below 1; default 0)
---@field dampening? number share of a gradient that the sum does not take (from 0 to 1; default 0)
---@field nesterov? boolean Nesterov's momentum; needs momentum, and no dampening (default false)
---@field weight_decay? number weight decay (at least 0; default 0)

---lion options
---@class LionOptions
---@field parameters? Tensor[] float32 tensors that require gradients; all of them decay
---@field model? Model instead of parameters: a model's trainable ones; biases and norms do not decay
---@field learning_rate? number step size (at least 0; default 0.0001)
---@field betas? number[] the momentum's share in a step, and the momentum's decay (default {0.9, 0.99})
---@field weight_decay? number weight decay (at least 0; default 0)

---adafactor options
---@class AdafactorOptions
---@field parameters? Tensor[] float32 tensors that require gradients; all of them decay
---@field model? Model instead of parameters: a model's trainable ones; biases and norms do not decay
---@field learning_rate? number step size (at least 0; default 0.001)
---@field eps? number[] added to squared gradients, and the least scale of scale_parameter (default {1e-30, 0.001})
---@field clip_threshold? number the largest root mean square of an update, before the step size (above 0; default 1)
---@field decay_rate? number the second moment's decay in step t is 1 - t^decay_rate (from -1 to 0; default -0.8)
---@field beta1? number decay of a first moment; default: there is none (at least 0 and below 1)
---@field factored? boolean whether matrices keep means of rows and columns, or all second moments (default true)
---@field scale_parameter? boolean whether steps are in proportion to the parameter's root mean square (default false)
---@field relative_step? boolean step size min(1e-2, 1/sqrt(t)) in place of learning_rate and schedule (default false)
---@field warmup_init? boolean with relative_step: step size min(1e-6 t, 1/sqrt(t)) (default false)
---@field weight_decay? number weight decay (at least 0; default 0)

---scheduler options
---@class ScheduleOptions
---@field num_cycles? number waves of "cosine" (default: a half), falls of "cosine_with_restarts" (1) (above 0)
---@field power? number exponent of "polynomial"; default: 1 (above 0)
---@field lr_end? number the step size at the end of "polynomial"; default: 1e-7 (at least 0)
---@field timescale? integer updates over which "inverse_sqrt" falls; default: those of the warm-up, or 10000 (at least 1)

---parameter group
---@class ParameterGroup
---@field params string|string[] parts of the parameters' paths: "classifier", { "lora_B", "layer.0" }; the first group that matches a parameter has it
---@field learning_rate? number the schedule's highest step size for them; default: the training's (at least 0)
---@field weight_decay? number decay of those that are no biases and no norms; default: the training's (at least 0)

---@alias OptimizerName
---| "adamw_torch"
---| "adamw_hf"
---| "adam"
---| "sgd"
---| "lion"
---| "adafactor"
---| "paged_adamw_32bit"
---| "paged_lion_32bit"

---@alias LabelSmoothing
---| "transformers"
---| "fairseq"

---@alias Strategy
---| "no"
---| "steps"
---| "epoch"

---@alias Sampling
---| "random"
---| "group_by_length"
---| "sequential"

---trainer options
---@class FitOptions
---@field model Model what to train
---@field task Task what to train on
---@field on_step? fun(trainer: Trainer) called after every update
---@field on_evaluate? fun(trainer: Trainer, metrics: table) called after every evaluation
---@field on_epoch? fun(trainer: Trainer, epoch: integer) called after every epoch, numbered from 1
---@field loss? fun(logits: Tensor, labels: Tensor, model: Model): Tensor the mean loss of a batch, a scalar tensor, in place of the task's; labels are int32 classes (in the model's order) or tokens, or scores of the logits' shape
---@field compute_metrics? fun(predictions: number[]|string[], labels: number[]|string[][], logits: Tensor|integer[][]|nil): table<string, number> metrics of an evaluation set by name, beside the task's: from predicted classes (from 0, in the task's order) or scores, the labels, and the logits [examples, labels]; with generation from the texts that the model wrote, the references of each, and its tokens
---@field logits_processor? fun(tokens: integer[], scores: Tensor): Tensor? changes the scores of the next token: called for each text, or hypothesis of a beam search, and step, with the tokens so far (the prompt's too) and the scores, float32 [vocabulary]; changes them in place, or returns others; -inf forbids a token. It comes behind the rules of the options, and before temperature, top_k, top_p and min_p; in a beam search scores are log probabilities, in that of the LoRA authors logits
---@field pause_after? integer evaluations after which the training pauses: its state is saved, and the same stage goes on from there when it comes again; results do not depend on it; default: never (at least 1)
---@field num_train_epochs? number passes over the training data (above 0; default 3)
---@field max_steps? integer updates in all, instead of num_train_epochs; -1: not set (at least -1; default -1)
---@field learning_rate? number the schedule's highest step size (at least 0; default 5e-05)
---@field lr_scheduler_type? "linear"|"cosine"|"cosine_with_restarts"|"polynomial"|"constant"|"constant_with_warmup"|"inverse_sqrt"|"cosine_lora_nlg"|fun(step: integer, total_steps: integer): number course of the learning rate: a name, or a function that gives the multiplier of the update after `step` updates (default "linear")
---@field lr_scheduler_kwargs? ScheduleOptions options of the course (default {})
---@field warmup_steps? integer updates over which the learning rate rises from 0 (at least 0; default 0)
---@field warmup_ratio? number the same as a share of all updates, rounded up; warmup_steps wins (from 0 to 1; default 0)
---@field weight_decay? number decay of all parameters but biases and norms (at least 0; default 0)
---@field parameter_groups? ParameterGroup[] parameters with a learning rate or weight decay of their own; the schedule is that of all; default: none
---@field loraplus_lr_ratio? number LoRA+: lora_B and trained vectors have this many times the learning_rate; default: the same (at least 1)
---@field loraplus_lr_embedding? number LoRA+: step size of adapters of embeddings; default: 1e-6 (at least 0)
---@field optim? OptimizerName the optimizer; "paged_..." keeps the state of large parameters in a mapped file, with the same results (default "adamw_torch")
---@field optim_args? table the optimizer's options: those of trainer.adamw, trainer.sgd, trainer.lion, ...
---@field adam_beta1? number decay of the first moment of AdamW and Adam (at least 0 and below 1; default 0.9)
---@field adam_beta2? number decay of the second moment of AdamW and Adam (at least 0 and below 1; default 0.999)
---@field adam_epsilon? number added to the root of the second moment of AdamW and Adam (above 0; default 1e-08)
---@field max_grad_norm? number limit of the norm of all gradients together; 0: no limit (at least 0; default 1)
---@field per_device_train_batch_size? integer examples in a batch (from 1 to 1000000; default 8)
---@field per_device_eval_batch_size? integer examples in a batch of the evaluation (from 1 to 1000000; default 32)
---@field gradient_accumulation_steps? integer batches for one update; the loss is the mean over all their labels (from 1 to 100000; default 1)
---@field micro_batch_size? integer examples of a piece of a batch: the pieces' gradients are added up in their order, and the processes of mpirun share them out; default: none, a batch is computed whole (from 1 to 1000000)
---@field label_smoothing_factor? number share of the label spread over all classes, in training and in eval_loss, as in Transformers (at least 0 and below 1; default 0)
---@field label_smoothing_type? LabelSmoothing whether the share goes to all classes, or to all but the label's own, as in fairseq (default "transformers")
---@field eval_strategy? Strategy when to evaluate; the end of training always does (default "epoch")
---@field eval_steps? integer updates between evaluations, with eval_strategy = "steps"; default: 500 (at least 1)
---@field logging_steps? integer updates between rows of metrics.jsonl (at least 1; default 10)
---@field load_best_model_at_end? boolean end with the weights of the best evaluation (default false)
---@field metric_for_best_model? string which metric is best; default: the task's first one
---@field greater_is_better? boolean whether more of it is better; default: as the metric says
---@field early_stopping_patience? integer stop after so many evaluations without improvement (at least 1)
---@field early_stopping_threshold? number what counts as an improvement (at least 0; default 0)
---@field train_sampling_strategy? Sampling order of the examples (default "random")
---@field gradient_checkpointing? boolean compute layers again in the backward pass: less memory, about a third more time, the same results (default false)
---@field max_length? integer tokens of an example; longer ones are truncated, longest text first (from 2 to 1000000; default 128)
---@field max_target_length? integer tokens of what an encoder-decoder should write; longer targets are cut; default: max_length (from 2 to 1000000)
---@field generation? GenerationOptions let the model write texts in evaluations, for the task's metrics of texts: options as of Model:generate, { num_beams = 4 }; default: an evaluation reads, and writes nothing
---@field mlm_probability? number share of tokens that masked language modelling asks for (above 0 and at most 1; default 0.15)
---@field frozen_layer_dropout? boolean whether layers below all that trains drop, as in Transformers; false: their outputs are computed once, not in every epoch (default true)
---@field frozen_cache_mib? integer memory for outputs of frozen layers that are used again, in MiB; the rest goes to a file (from 0 to 1000000000; default 1024)
---@field seed? integer seeds order, dropout and masking; default: --seed, else 42 (at least 0)
---@field save_seconds? number seconds between saved states, from which a killed run goes on (at least 0; default 5)

---predict options
---@class PredictOptions
---@field model Model what writes
---@field task Task what it writes for
---@field set? string name of the evaluation set; default: the task's first
---@field logits_processor? fun(tokens: integer[], scores: Tensor): Tensor? changes the scores of the next token: called for each text, or hypothesis of a beam search, and step, with the tokens so far (the prompt's too) and the scores, float32 [vocabulary]; changes them in place, or returns others; -inf forbids a token. It comes behind the rules of the options, and before temperature, top_k, top_p and min_p; in a beam search scores are log probabilities, in that of the LoRA authors logits
---@field max_length? integer tokens of an example; longer ones are truncated, longest text first (from 2 to 1000000; default 128)
---@field generation? GenerationOptions let the model write texts in evaluations, for the task's metrics of texts: options as of Model:generate, { num_beams = 4 }; default: an evaluation reads, and writes nothing
---@field seed? integer seeds order, dropout and masking; default: --seed, else 42 (at least 0)
---@field save_seconds? number seconds between saved states, from which a killed run goes on (at least 0; default 5)

---A training under way, as callbacks see it; or the steps of one, made by trainer.loop.
---@class Trainer
---@field step integer updates done
---@field total_steps integer updates of the whole run
---@field steps_per_epoch integer updates of one epoch
---@field epoch number epochs done, with a fraction
---@field loss number? loss of the last update; nil in a loop of the script's own, which computes it itself
---@field grad_norm number norm of the last update's gradient, before clipping
---@field tokens integer tokens trained on so far
---@field learning_rate number the schedule's highest step size; assigning changes it for all later updates, and those of parameter groups by the same factor
---@field seed integer seeds order, dropout and masking: what Model:train takes
---@field current_learning_rate number the step size of the next update, parameter groups with their own apart
local Trainer = {}

---Ends the training after this update.
function Trainer:stop() end

---Freezes parameters.
---@param name string a part of their paths: "encoder.layer.0"
function Trainer:freeze(name) end

---Lets parameters train.
---@param name string a part of their paths: "LayerNorm"
function Trainer:unfreeze(name) end

---The batches of the next update (several with gradient_accumulation_steps).
---@return Batch[] # list of batches
function Trainer:batches() end

---Clips the gradients, updates the parameters, clears the gradients, and goes to the next step.
---@return number # norm of the gradient before clipping
function Trainer:update() end

---Adds a row to metrics.jsonl, with the stage's name and the step.
---@param row table names and numbers, such as { loss = total, learning_rate = trainer.current_learning_rate }
function Trainer:log(row) end

---Evaluates the model.
---@return table # table of metrics
function Trainer:evaluate() end

---What a training gave.
---@class Result
---@field stage string the stage's name
---@field model Model the trained model; of a paused training an error
---@field metrics table metrics of the final weights: eval_accuracy, eval_loss, ...
---@field trainable integer number of trained parameters
---@field total integer number of parameters
---@field steps integer updates
---@field tokens integer tokens trained on
---@field seconds number seconds of training and evaluation
---@field peak_tensor_mb integer? the highest memory that tensors held for the training, in MB (2^20 bytes), without other models of the process; nil where it is not known
---@field best_step integer? the step whose weights the model has, with load_best_model_at_end; nil where these are the last step's
---@field endings string[] how the training ended, in words, where that is not at its last step with that step's weights: early stopping, the best step
---@field warnings string[] what makes the metrics doubtful, in words: predictions of one class throughout
---@field paused boolean whether the training was paused, as pause_after says: metrics and steps are those of that evaluation
---@field reused boolean whether a stored result was taken
---@field key string digest of everything that the result depends on
local Result = {}

---What a model wrote for an evaluation set: each prompt once, in the set's order.
---@class Predictions
---@field stage string the stage's name
---@field prompts string[] what the model was given
---@field texts string[] what it wrote, a text for each prompt
---@field references table[] the set's own texts, a list for each prompt, for metrics
---@field scores number[] log probability of each text, as the length penalty has it
---@field metrics table the task's metrics of texts: eval_rougeL, ...
---@field tokens integer tokens that were written
---@field seconds number seconds of writing
---@field reused boolean whether a stored result was taken
---@field key string digest of everything that the texts depend on
local Predictions = {}

---Packed sequences with their labels.
---@class Batch
---@field size integer number of sequences
---@field tokens integer number of tokens
---@field input_ids Tensor token ids of all sequences, end to end without padding: int32 [tokens]
---@field token_type_ids Tensor which text of a pair each token is of, 0 or 1: int32 [tokens]
---@field offsets Tensor where each sequence begins in input_ids, from 0, and where the last one ends: int32 [size + 1]
---@field lengths integer[] tokens of each sequence
---@field labels Tensor int32 classes [size], float32 scores [size, 1], or for masked language modelling the int32 tokens in the masked places [masked]
---@field examples integer[] positions of the sequences in the data set, from 0
local Batch = {}

---An optimizer of a list of parameters.
---@class Optimizer
---@field learning_rate number the step size of the next update
---@field steps integer updates done
local Optimizer = {}

---Updates every parameter that has a gradient.
function Optimizer:step() end

---Forgets all gradients.
function Optimizer:zero_grad() end

---Scales all gradients so that their norm together is at most a limit.
---@param max_norm number the limit (above 0)
---@return number # norm before
function Optimizer:clip_grad_norm(max_norm) end

---Training: the whole loop at once, or its steps one by one.
---@class trainerlib
trainer = {}

---AdamW as torch's: Adam with decoupled weight decay. For a loop of the script's own.
---@param options? AdamWOptions see the fields
---@return Optimizer # optimizer
function trainer.adamw(options) end

---AdamW as Transformers had it before version 5: eps without bias correction, decay after the step. For a loop of the script's own.
---@param options? AdamWHFOptions see the fields
---@return Optimizer # optimizer
function trainer.adamw_hf(options) end

---Adam as torch's: weight decay is part of the gradient. For a loop of the script's own.
---@param options? AdamOptions see the fields
---@return Optimizer # optimizer
function trainer.adam(options) end

---Stochastic gradient descent as torch's, with momentum. For a loop of the script's own.
---@param options? SGDOptions see the fields
---@return Optimizer # optimizer
function trainer.sgd(options) end

---Lion: steps by the sign of the momentum; half of AdamW's memory. For a loop of the script's own.
---@param options? LionOptions see the fields
---@return Optimizer # optimizer
function trainer.lion(options) end

---Adafactor as Transformers': second moments of matrices take one number for each row and column. For a loop of the script's own.
---@param options? AdafactorOptions see the fields
---@return Optimizer # optimizer
function trainer.adafactor(options) end

---Trains a model on a task. An equal training that was finished before is taken from the store; one that was cut off goes on.
---@param options? FitOptions see the fields
---@return Result # result
function trainer.fit(options) end

---Evaluates a model on a task's evaluation sets.
---@param options? FitOptions model, task, sizes of batches, loss, metrics and generation; those of a training are left aside, with a line that says so
---@return table # table of metrics: eval_loss, eval_accuracy, ...
function trainer.evaluate(options) end

---Lets a model write for a task's evaluation set, and compares the texts with the set's own. Each prompt counts once; examples that share one are references. An equal result that is stored is taken; one that was cut off goes on with the texts that are missing.
---@param options? PredictOptions see the fields
---@return Predictions # the texts and their metrics; predictions.jsonl in the stage's folder has them, too
function trainer.predict(options) end

---The steps of trainer.fit for a loop of the script's own: batches, learning rates, updates.
---@param options? FitOptions as for fit
---@return Trainer # trainer, not started
function trainer.loop(options) end

return trainer
