import Diagnostics
import Foundation
import Generation
import Optimizers

/// The settings of a training run, in the words and with the defaults of Transformers' `TrainingArguments`.
public struct TrainingArguments: Record {
  /// When something happens.
  public enum Strategy: String, FieldChoice {
    case no, steps, epoch
  }

  /// How batches are put together.
  public enum Sampling: String, FieldChoice {
    /// Shuffled.
    case random
    /// Shuffled, then sorted by length within groups of 50 batches, whose order is shuffled again.
    case groupByLength = "group_by_length"
    /// In the file's order.
    case sequential
  }

  /// Over which classes a label is smoothed.
  public enum LabelSmoothing: String, FieldChoice {
    /// All of them, the label's own as well: Transformers, and the LoRA authors.
    case transformers
    /// All others: fairseq's `label_smoothed_cross_entropy`.
    case fairseq
  }

  public var numTrainEpochs = 3.0
  public var maxSteps = -1
  public var learningRate = 5e-5
  public var lrSchedulerType = Schedule.Kind.linear
  public var lrSchedulerKwargs = ScheduleOptions()
  public var warmupSteps = 0
  public var warmupRatio = 0.0
  public var weightDecay = 0.0
  /// nil: none.
  public var parameterGroups: [ParameterGroupOptions]?
  /// LoRA+: how many times larger the step size of `lora_B` is; nil: not at all.
  public var loraplusLRRatio: Double?
  /// LoRA+: the step size of adapters of embeddings; nil: 1e-6.
  public var loraplusLREmbedding: Double?
  public var optim = OptimizerName(AdamW.self)
  public var optimArgs = OptimizerArguments()
  public var adamBeta1 = 0.9
  public var adamBeta2 = 0.999
  public var adamEpsilon = 1e-8
  public var maxGradNorm = 1.0
  public var trainBatchSize = 8
  public var evalBatchSize = 32
  public var gradientAccumulationSteps = 1
  /// nil: batches are computed whole.
  public var microBatchSize: Int?
  public var labelSmoothingFactor = 0.0
  public var labelSmoothingType = LabelSmoothing.transformers
  public var evalStrategy = Strategy.epoch
  /// nil: 500.
  public var evalSteps: Int?
  public var loggingSteps = 10
  public var loadBestModelAtEnd = false
  public var metricForBestModel: String?
  public var greaterIsBetter: Bool?
  public var earlyStoppingPatience: Int?
  public var earlyStoppingThreshold = 0.0
  public var trainSamplingStrategy = Sampling.random
  public var gradientCheckpointing = false
  public var maxLength = 128
  /// nil: `maxLength`.
  public var maxTargetLength: Int?
  /// How an evaluation lets the model write; nil: it writes nothing.
  public var generation: GenerationOptions?
  public var mlmProbability = 0.15
  public var frozenLayerDropout = true
  public var frozenCacheMebibytes = 1024
  public var seed: Int?
  public var saveSeconds = 5.0

  public init() {}

  public static let recordName = "trainer options"

  public static let fields: [Field<Self>] = [
    .float("num_train_epochs", \.numTrainEpochs, "passes over the training data", in: Above(0)),
    .int("max_steps", \.maxSteps, "updates in all, instead of num_train_epochs; -1: not set", in: (-1)...),
    .float("learning_rate", \.learningRate, "the schedule's highest step size", in: 0...),
    .value("lr_scheduler_type", \.lrSchedulerType, "course of the learning rate"),
    .value("lr_scheduler_kwargs", \.lrSchedulerKwargs, "options of the course"),
    .int("warmup_steps", \.warmupSteps, "updates over which the learning rate rises from 0", in: 0...),
    .float("warmup_ratio", \.warmupRatio, "the same as a share of all updates, rounded up; warmup_steps wins", in: 0...1),
    .float("weight_decay", \.weightDecay, "decay of all parameters but biases and norms", in: 0...),
    .value(
      "parameter_groups", \.parameterGroups,
      "parameters with a learning rate or weight decay of their own; the schedule is that of all; default: none"),
    .float(
      "loraplus_lr_ratio", \.loraplusLRRatio, "LoRA+: lora_B and trained vectors have this many times the learning_rate; default: the same", in: 1...),
    .float("loraplus_lr_embedding", \.loraplusLREmbedding, "LoRA+: step size of adapters of embeddings; default: 1e-6", in: 0...),
    .value("optim", \.optim, "the optimizer; \"paged_...\" keeps the state of large parameters in a mapped file, with the same results"),
    .value("optim_args", \.optimArgs, "the optimizer's options: those of trainer.adamw, trainer.sgd, trainer.lion, ..."),
    .float("adam_beta1", \.adamBeta1, "decay of the first moment of AdamW and Adam", in: 0..<1),
    .float("adam_beta2", \.adamBeta2, "decay of the second moment of AdamW and Adam", in: 0..<1),
    .float("adam_epsilon", \.adamEpsilon, "added to the root of the second moment of AdamW and Adam", in: Above(0)),
    .float("max_grad_norm", \.maxGradNorm, "limit of the norm of all gradients together; 0: no limit", in: 0...),
    .int("per_device_train_batch_size", \.trainBatchSize, "examples in a batch", in: 1...1_000_000),
    .int("per_device_eval_batch_size", \.evalBatchSize, "examples in a batch of the evaluation", in: 1...1_000_000),
    .int(
      "gradient_accumulation_steps", \.gradientAccumulationSteps, "batches for one update; the loss is the mean over all their labels",
      in: 1...100_000),
    .int(
      "micro_batch_size", \.microBatchSize,
      "examples of a piece of a batch: the pieces' gradients are added up in their order, and the processes of mpirun share them out; default: none, a batch is computed whole",
      in: 1...1_000_000),
    .float(
      "label_smoothing_factor", \.labelSmoothingFactor,
      "share of the label spread over all classes, in training and in eval_loss, as in Transformers", in: 0..<1),
    .value("label_smoothing_type", \.labelSmoothingType, "whether the share goes to all classes, or to all but the label's own, as in fairseq"),
    .value("eval_strategy", \.evalStrategy, "when to evaluate; the end of training always does"),
    .int("eval_steps", \.evalSteps, "updates between evaluations, with eval_strategy = \"steps\"; default: 500", in: 1...),
    .int("logging_steps", \.loggingSteps, "updates between rows of metrics.jsonl", in: 1...),
    .value("load_best_model_at_end", \.loadBestModelAtEnd, "end with the weights of the best evaluation"),
    .value("metric_for_best_model", \.metricForBestModel, "which metric is best; default: the task's first one"),
    .value("greater_is_better", \.greaterIsBetter, "whether more of it is better; default: as the metric says"),
    .int("early_stopping_patience", \.earlyStoppingPatience, "stop after so many evaluations without improvement", in: 1...),
    .float("early_stopping_threshold", \.earlyStoppingThreshold, "what counts as an improvement", in: 0...),
    .value("train_sampling_strategy", \.trainSamplingStrategy, "order of the examples"),
    .value(
      "gradient_checkpointing", \.gradientCheckpointing,
      "compute layers again in the backward pass: less memory, about a third more time, the same results"),
    .int("max_length", \.maxLength, "tokens of an example; longer ones are truncated, longest text first", in: 2...1_000_000),
    .int(
      "max_target_length", \.maxTargetLength, "tokens of what an encoder-decoder should write; longer targets are cut; default: max_length",
      in: 2...1_000_000),
    .value(
      "generation", \.generation,
      "let the model write texts in evaluations, for the task's metrics of texts: options as of Model:generate, { num_beams = 4 }; default: an evaluation reads, and writes nothing"
    ),
    .float("mlm_probability", \.mlmProbability, "share of tokens that masked language modelling asks for", in: Above(0, through: 1)),
    .value(
      "frozen_layer_dropout", \.frozenLayerDropout,
      "whether layers below all that trains drop, as in Transformers; false: their outputs are computed once, not in every epoch"),
    .int(
      "frozen_cache_mib", \.frozenCacheMebibytes,
      "memory for outputs of frozen layers that are used again, in MiB; the rest goes to a file", in: 0...1_000_000_000),
    .int("seed", \.seed, "seeds order, dropout and masking; default: --seed, else 42", in: 0...),
    .float("save_seconds", \.saveSeconds, "seconds between saved states, from which a killed run goes on", in: 0...),
  ]

  public func validate() throws(EngineError) {
    if let earlyStoppingPatience, evalStrategy == .no {
      throw EngineError(
        .argument, "early_stopping_patience = \(earlyStoppingPatience) with eval_strategy = \"no\": nothing is evaluated",
        hint: "set eval_strategy to \"epoch\" or \"steps\"")
    }
    if loadBestModelAtEnd, evalStrategy == .no {
      throw EngineError(
        .argument, "load_best_model_at_end with eval_strategy = \"no\": nothing is evaluated",
        hint: "set eval_strategy to \"epoch\" or \"steps\"")
    }
    if let evalSteps, evalStrategy != .steps {
      throw EngineError(
        .argument, "eval_steps = \(evalSteps) has no meaning with eval_strategy = \"\(evalStrategy.rawValue)\"",
        hint: "set eval_strategy to \"steps\", or leave eval_steps out")
    }
    if earlyStoppingThreshold > 0, earlyStoppingPatience == nil {
      throw EngineError(
        .argument, "early_stopping_threshold = \(earlyStoppingThreshold) has no meaning without early_stopping_patience",
        hint: "set early_stopping_patience to the evaluations without improvement after which to stop")
    }
    try lrSchedulerKwargs.check(lrSchedulerType, learningRate: learningRate)
    try checkOptimizer()
  }

  /// Updates between evaluations, where these are by step.
  public var usedEvalSteps: Int { evalSteps ?? 500 }

  /// The share of a label that the loss of a model spreads over all classes, the label's own among them.
  public func labelSmoothing(of model: TrainableModel) throws -> Double {
    let classes = Double(try model.network.outputCount())
    // What fairseq gives to each of the others, given to all: the label's own has the rest.
    return labelSmoothingType == .fairseq && classes > 1 ? labelSmoothingFactor * classes / (classes - 1) : labelSmoothingFactor
  }

  /// The seed that is used.
  public var usedSeed: UInt64 { UInt64(seed ?? 42) }

  /// Updates of one epoch: batches of all examples, in groups of `gradient_accumulation_steps`.
  public func stepsPerEpoch(examples: Int) -> Int {
    let batches = (examples + trainBatchSize - 1) / trainBatchSize
    return max(1, (batches + gradientAccumulationSteps - 1) / gradientAccumulationSteps)
  }

  /// Updates of the whole run. Throws where it would be absurdly many.
  public func totalSteps(examples: Int) throws -> Int {
    if maxSteps >= 0 { return maxSteps }
    let steps = (numTrainEpochs * Double(stepsPerEpoch(examples: examples))).rounded(.up)
    guard steps < 1e15 else {
      throw EngineError(.argument, "num_train_epochs = \(numTrainEpochs): too many steps")
    }
    return Int(steps)
  }

  /// The pieces of a batch that are computed one by one.
  func pieces(of batch: [Int]) -> [[Int]] {
    let size = microBatchSize ?? batch.count
    return stride(from: 0, to: batch.count, by: max(1, size)).map { Array(batch[$0..<min($0 + size, batch.count)]) }
  }

  /// Says so where some processes have nothing to do.
  func idleRemark(of group: any ProcessGroup) -> String? {
    let size = microBatchSize ?? trainBatchSize
    let pieces = gradientAccumulationSteps * ((trainBatchSize - 1) / size + 1)
    guard pieces < group.count else { return nil }
    let smaller = max(1, gradientAccumulationSteps * trainBatchSize / group.count)
    let remedy = smaller < size ? "micro_batch_size = \(smaller)" : "a larger per_device_train_batch_size"
    return
      "an update has \(pieces) batch\(pieces == 1 ? "" : "es") to share out, so that \(group.count - pieces) of \(group.count) processes have nothing "
      + "to do: \(remedy) would give them some"
  }

  /// The learning rate's course over `totalSteps` updates.
  public func schedule(totalSteps: Int) -> Schedule {
    let warmup = warmupSteps > 0 ? warmupSteps : Int((warmupRatio * Double(totalSteps)).rounded(.up))
    return Schedule(
      lrSchedulerType, warmupSteps: warmup, totalSteps: totalSteps, options: lrSchedulerKwargs, learningRate: learningRate)
  }
}
