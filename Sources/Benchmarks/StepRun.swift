import Diagnostics
import Tasks
import TensorCore
import Training
import TransformerModels

/// One measured training, and what came of it.
struct StepRun {
  let model: TrainableModel
  let task: TrainingTask
  var arguments: TrainingArguments
  /// Seconds to make the model, and to encode the data.
  var modelSeconds = 0.0
  private(set) var dataSeconds = 0.0
  /// From the start of the process to the end of the first step.
  private(set) var startupSeconds = 0.0
  /// Of every measured step.
  private(set) var stepSeconds: [Double] = []
  private(set) var losses: [Double] = []
  /// Of every repetition.
  private(set) var seconds: [Double] = []
  private(set) var tokens: [Int] = []
  private(set) var profile: Profile?

  init(model: TrainableModel, task: TrainingTask, arguments: TrainingArguments) {
    self.model = model
    self.task = task
    self.arguments = arguments
  }

  /// Runs one step to warm up, and then `repeats` times as many as `epochs` have, or as `steps` says. Returns the steps of
  /// an epoch.
  ///
  /// `trains`: false runs forward passes alone, in training mode.
  mutating func measure(epochs: Double, steps: Int?, repeats: Int, trains: Bool) throws -> Int {
    let started = ContinuousClock.now
    let examples = try task.encoded(task.train, model.tokenizer, arguments).count
    let stepsPerEpoch = arguments.stepsPerEpoch(examples: examples)
    let wanted = (epochs * Double(stepsPerEpoch)).rounded()
    guard wanted < 1e12 else { throw EngineError(.argument, "--epochs \(epochs): too many steps") }
    let count = steps ?? max(1, Int(wanted))
    arguments.maxSteps = 1 + count * repeats
    let recorder = Recorder(count: count, repeats: repeats)
    if trains {
      var callbacks = TrainerCallbacks()
      callbacks.onStep = { recorder.record(loss: $0.state.loss, tokens: $0.state.tokens) }
      let trainer = try Trainer(model: model, task: task, arguments: arguments, callbacks: callbacks)
      dataSeconds = started.duration(to: .now).seconds
      _ = try trainer.run()
    } else {
      let passes = try ForwardPasses(model: model, task: task, arguments: arguments)
      dataSeconds = started.duration(to: .now).seconds
      try passes.run(steps: arguments.maxSteps) { recorder.record(loss: $0, tokens: $1) }
    }
    profile = recorder.profile
    (startupSeconds, stepSeconds, losses) = (recorder.startupSeconds, recorder.stepSeconds, recorder.losses)
    (seconds, tokens) = (recorder.seconds, recorder.tokens)
    return stepsPerEpoch
  }
}

/// Takes the time at the end of every step.
private final class Recorder {
  /// Steps of a repetition.
  private let count: Int
  private let repeats: Int
  private(set) var startupSeconds = 0.0
  private(set) var stepSeconds: [Double] = []
  private(set) var losses: [Double] = []
  private(set) var seconds: [Double] = []
  private(set) var tokens: [Int] = []
  private(set) var profile: Profile?
  private var measurement: Profile.Measurement?
  private var last = ContinuousClock.now
  private var tokensBefore = 0

  init(count: Int, repeats: Int) {
    self.count = count
    self.repeats = repeats
  }

  /// `tokens`: of all steps so far.
  func record(loss: Double, tokens total: Int) {
    let now = ContinuousClock.now
    guard measurement != nil else {
      startupSeconds = ProcessFacts.secondsSinceStart()
      tokensBefore = total
      Memory.resetPeak()
      measurement = Profile.start()
      last = .now
      return
    }
    stepSeconds.append(last.duration(to: now).seconds)
    losses.append(loss)
    last = now
    guard stepSeconds.count % count == 0 else { return }
    seconds.append(stepSeconds.suffix(count).reduce(0, +))
    tokens.append(total - tokensBefore)
    tokensBefore = total
    if seconds.count == repeats { profile = measurement?.stop() }
  }
}

/// Forward passes in training mode: what a step costs without a backward pass.
private struct ForwardPasses {
  private let model: TrainableModel
  private let batches: [Batch]

  init(model: TrainableModel, task: TrainingTask, arguments: TrainingArguments) throws {
    self.model = model
    batches = try task.batches(arguments, tokenizer: model.tokenizer)
  }

  func run(steps: Int, _ onStep: (_ loss: Double, _ tokens: Int) -> Void) throws {
    let context = model.network.context
    context.isTraining = true
    defer { context.isTraining = false }
    var tokens = 0
    for step in 0..<steps {
      try Interrupt.check()
      let batch = batches[max(0, step - 1) % batches.count]
      let loss = try Autograd.noGrad { try model.type.loss(model.network, batch).item() }
      tokens += batch.ids.count
      onStep(loss, tokens)
    }
  }
}
