import Checkpoints
import Diagnostics
import Files
import Foundation
import NN
import TensorCore
import TestSupport
import Testing

@testable import Optimizers

/// `Tests/Fixtures/optimizers.safetensors`: what PyTorch and Transformers made of given gradients.
private struct RecordedSteps {
  let file: SafetensorsFile
  let config: JSONObject

  init() throws {
    let path = packageRoot + "/Tests/Fixtures/optimizers.safetensors"
    file = try SafetensorsFile(path)
    config = try JSONValue(parsing: Array((file.metadata["config"] ?? "").utf8), source: path).objectValue ?? [:]
  }

  var cases: [String] { config["cases"]?.objectValue?.keys ?? [] }
  var schedules: [String] { config["schedules"]?.objectValue?.keys ?? [] }
  var groupOf: [(name: String, group: Int)] {
    (config["groups"]?.objectValue ?? [:]).members.map { ($0, $1.intValue ?? -1) }
  }
  var decays: [Double] { (config["weight_decays"]?.arrayValue ?? []).compactMap(\.doubleValue) }
  func options(of name: String, in kind: String) -> JSONObject { config[kind]?[name]?["options"]?.objectValue ?? [:] }

  /// The rule of a case, its options set as a script would set them.
  func rule(_ name: String) throws -> any UpdateRule {
    let word = try #require(config["cases"]?[name]?["optim"]?.stringValue)
    return try makeRule(try OptimizerName.decode(.text(word)).rule, options(of: name, in: "cases"))
  }

  private func makeRule<Rule: UpdateRule>(_ type: Rule.Type, _ options: JSONObject) throws -> any UpdateRule {
    try Rule(table: ConfigTable(fields: Dictionary(options.members.map { ($0, $1.configValue) }, uniquingKeysWith: { a, _ in a })))
  }
}

/// Every rule of the catalogue with every state that it can have.
private let variants: [(name: String, rule: any UpdateRule)] = {
  var momentum = SGD()
  momentum.momentum = 0.9
  var first = Adafactor()
  (first.beta1, first.scaleParameter) = (0.9, true)
  var whole = Adafactor()
  whole.factored = false
  return OptimizerCatalogue.rules.map { ($0.name, make($0)) } + [("sgd momentum", momentum), ("adafactor beta1", first), ("adafactor whole", whole)]
}()

private func make<Rule: UpdateRule>(_ rule: Rule.Type) -> any UpdateRule { Rule() }

@Suite(.engine) struct OptimizerTests {
  @Test func everyRuleIsRecorded() throws {
    let recorded = try Set(RecordedSteps().cases.map { try type(of: RecordedSteps().rule($0)).name })
    #expect(recorded == Set(OptimizerCatalogue.rules.map { $0.name }))
  }

  @Test func rulesFollowTheReference() throws {
    let recorded = try RecordedSteps()
    for name in recorded.cases {
      let parameters = try recorded.groupOf.map { entry in
        (entry.name, entry.group, try recorded.file.tensor("start." + entry.name).copy().requiresGrad(true))
      }
      let rates = (recorded.config["cases"]?[name]?["learning_rates"]?.arrayValue ?? []).map(\.doubleValue)
      let optimizer = Optimizer(
        try recorded.rule(name),
        (0..<2).map { group in
          ParameterGroup(
            parameters.filter { $0.1 == group }.map { ($0.0, $0.2) }, learningRate: rates[group], weightDecay: recorded.decays[group])
        })
      for step in 0..<10 {
        for (entry, _, tensor) in parameters {
          let gradients = try recorded.file.tensor("grad." + entry).floats
          tensor.grad = try Tensor(Array(gradients[step * tensor.count..<(step + 1) * tensor.count]), tensor.shape)
        }
        try optimizer.step(learningRate: .nan)
        for (entry, _, tensor) in parameters {
          let values = try recorded.file.tensor(name + "." + entry).floats
          let expected = values[step * tensor.count..<(step + 1) * tensor.count]
          let largest = expected.reduce(0) { max($0, abs($1)) }
          let difference = zip(tensor.floats, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
          #expect(difference <= 1e-6 * largest, "\(name), step \(step), \(entry): off by \(difference / largest)")
        }
      }
    }
  }

  /// A parameter of zeros has no size to be in proportion to: its first step is `eps[1]` times the rate, by the sign of the gradient.
  @Test(arguments: [[6], [2, 3]], [0.001, 0.5]) func adafactorMovesWhatStartsAtZero(_ shape: [Int], _ least: Double) throws {
    var rule = Adafactor()
    (rule.scaleParameter, rule.eps) = (true, [1e-30, least])
    let parameter = try Tensor.zeros(shape).requiresGrad(true)
    let optimizer = Optimizer(rule, [ParameterGroup([("p", parameter)], weightDecay: 0)])
    let gradient: [Float] = [0.5, -0.5, 0.5, 0.5, -0.5, -0.5]
    parameter.grad = try Tensor(gradient, shape)
    try optimizer.step(learningRate: 0.1)
    expectClose("parameter", parameter.values, gradient.map { -0.1 * least * ($0 > 0 ? 1 : -1) }, relative: 1e-5, absolute: 0)
    // The parameter's own size counts once it is above the least.
    parameter.fill(-4)
    parameter.grad = try Tensor(gradient, shape)
    try optimizer.step(learningRate: 0.1)
    expectClose("parameter", parameter.values, gradient.map { -4 - 0.4 * ($0 > 0 ? 1 : -1) }, relative: 1e-5, absolute: 0)
  }

  /// Rows of an embedding that no batch has seen have no gradient: no rule moves them, whatever the others do.
  @Test func whatHasNoGradientStaysWhereItIs() throws {
    for (name, rule) in variants {
      let parameter = try Tensor([0.5, -0.5, 0, 0.25, 0.75, -1] as [Float], [3, 2]).requiresGrad(true)
      let optimizer = Optimizer(rule, [ParameterGroup([("p", parameter)], weightDecay: 0)])
      for step in 0..<3 {
        parameter.grad = try Tensor([0, 0, Float(step) - 0.5, 2, 0, 0], [3, 2])
        try optimizer.step(learningRate: 0.1)
      }
      let values = parameter.values
      #expect([0, 1, 4, 5].map { values[$0] } == [0.5, -0.5, 0.75, -1], "\(name)")
      #expect(values[3] != 0.25, "\(name)")
    }
  }

  /// Two parameters, and gradients of a step; large ones are beyond the limit of paged memory.
  private func parameters(_ rows: Int) throws -> [(name: String, tensor: Tensor)] {
    [
      ("w", try Tensor((0..<rows * 64).map { Float(sin(Double($0))) }, [rows, 64]).requiresGrad(true)),
      ("b", try Tensor((0..<64).map { Float(cos(Double($0))) }, [64]).requiresGrad(true)),
    ]
  }

  private func train(
    _ optimizer: Optimizer, _ parameters: [(name: String, tensor: Tensor)], steps: Range<Int>, scale: Float = 1
  ) throws {
    optimizer.groups = [ParameterGroup(parameters, weightDecay: 0.1)]
    for step in steps {
      for (_, tensor) in parameters {
        tensor.grad = try Tensor((0..<tensor.count).map { Float(cos(Double(3 * $0 + 7 * step))) / scale }, tensor.shape)
      }
      try optimizer.step(learningRate: 0.02, multiplier: 0.5, gradientScale: Double(scale))
    }
  }

  private func bits(_ parameters: [(name: String, tensor: Tensor)]) -> [[UInt32]] {
    parameters.map { $0.tensor.floats.map(\.bitPattern) }
  }

  /// What `state()` gives is all that the rest depends on, for a rule whose parameters are known or not.
  @Test func loadedStateGoesOnWithTheSameBits() throws {
    for (name, rule) in variants {
      let whole = try parameters(3)
      try train(Optimizer(rule), whole, steps: 0..<6)
      let parts = try parameters(3)
      let first = Optimizer(rule)
      try train(first, parts, steps: 0..<3)
      let state = Dictionary(try first.state().map { ($0.name, try $0.tensor.copy()) }, uniquingKeysWith: { a, _ in a })
      for knowsShapes in [true, false] {
        let copies = try parts.map { ($0.name, try $0.tensor.copy().requiresGrad(true)) }
        let second = Optimizer(rule, knowsShapes ? [ParameterGroup(copies, weightDecay: 0.1)] : [])
        try second.load(state)
        #expect(second.updatedParameters == ["w", "b"])
        try train(second, copies, steps: 3..<6)
        #expect(bits(copies) == bits(whole), "\(name)")
      }
      let forgetful = Optimizer(rule)
      try train(forgetful, parts, steps: 3..<6)
      // Plain gradient descent has no memory.
      #expect((bits(parts) == bits(whole)) == (name == "sgd"), "\(name)")
    }
  }

  @Test func clippingScalesGradients() throws {
    for (name, rule) in variants {
      let (plain, scaled) = (try parameters(3), try parameters(3))
      try train(Optimizer(rule), plain, steps: 0..<3)
      try train(Optimizer(rule), scaled, steps: 0..<3, scale: 0.25)
      #expect(bits(plain) == bits(scaled), "\(name)")
    }
  }

  /// Large moments lie in files, and the results are the same.
  @Test func pagedStateChangesNothingButItsPlace() throws {
    try withTemporaryFolder { folder in
      for rule in OptimizerCatalogue.rules where rule.pagedName != nil {
        let (memory, paged) = (try parameters(1600), try parameters(1600))
        let ordinary = Optimizer(make(rule))
        let mapped = Optimizer(make(rule), paged: PagedMemory(folder: folder))
        try train(ordinary, memory, steps: 0..<2)
        let before = Memory.liveBytes
        try train(mapped, paged, steps: 0..<2)
        paged.forEach { $0.tensor.grad = nil }
        // The gradients are gone, and what is left are the moments of 64 numbers.
        #expect(Memory.liveBytes - before < 1 << 16)
        #expect(try AtomicFolder.names(in: folder) == [])
        #expect(bits(memory) == bits(paged), "\(rule.name)")
        let shapes = paged.map(\.tensor.shape)
        #expect(mapped.stateBytes(of: shapes) < 1 << 10 && ordinary.stateBytes(of: shapes) >= 1600 * 64 * 4)
        // A resumed run pages again.
        let state = Dictionary(uniqueKeysWithValues: try mapped.state().map { ($0.name, $0.tensor) })
        let loaded = Optimizer(make(rule), [ParameterGroup(paged, weightDecay: 0.1)], paged: PagedMemory(folder: folder))
        try loaded.load(state)
        try train(ordinary, memory, steps: 2..<3)
        try train(loaded, paged, steps: 2..<3)
        #expect(bits(memory) == bits(paged), "\(rule.name) after loading")
      }
      let nowhere = Optimizer(AdamW(), paged: PagedMemory(folder: folder + "/missing"))
      let error = #expect(throws: EngineError.self) { try train(nowhere, try parameters(1600), steps: 0..<1) }
      #expect(error?.description.contains("/missing: a scratch file of 409600 bytes: No such file") == true)
    }
  }

  @Test func aStateThatDoesNotFitIsRefused() throws {
    let own = try parameters(3)
    let optimizer = Optimizer(AdamW())
    try train(optimizer, own, steps: 0..<1)
    let state = Dictionary(uniqueKeysWithValues: try optimizer.state().map { ($0.name, $0.tensor) })
    func message(_ rule: any UpdateRule, _ rows: Int, _ state: [String: Tensor]) throws -> String? {
      let fresh = Optimizer(rule, [ParameterGroup(try parameters(rows), weightDecay: 0)])
      do {
        try fresh.load(state)
        return nil
      } catch let error as EngineError { return error.description }
    }
    #expect(try message(AdamW(), 3, state) == nil)
    #expect(try message(AdamW(), 4, state)?.contains("optimizer state of 'w': 'exp_avg' has shape [3, 64], expected [4, 64]") == true)
    #expect(try message(Adafactor(), 3, state)?.contains("has no 'exp_avg_sq_row'") == true)
    var damaged = state
    damaged["step.b"] = try Tensor([Int32(-1)], [1])
    #expect(try message(AdamW(), 3, damaged)?.contains("'step' is [1] int32, expected a number of updates") == true)
    // Of parameters that were in no group when the state was loaded, a wrong shape shows later.
    let late = Optimizer(AdamW())
    try late.load(state)
    let error = #expect(throws: EngineError.self) { try train(late, try parameters(4), steps: 0..<1) }
    #expect(error?.description == "optimizer state of 'w' does not fit the parameter's shape [4, 64]")
  }

  @Test func optionsAreChecked() throws {
    let mistakes: [(name: String, fields: [String: ConfigValue], message: String)] = [
      ("sgd", ["nesterov": ConfigValue.bool(true)], "sgd options: 'nesterov' needs a momentum above 0 and a dampening of 0, got 0.0 and 0.0"),
      ("sgd", ["momentun": .number(0.9)], "sgd options: unknown field 'momentun'; did you mean 'momentum'?"),
      ("adamw_torch", ["betas": .table(ConfigTable(list: [.number(0.9)]))], "adamw options: 'betas' must be two numbers, at least 0 and below 1"),
      (
        "lion", ["betas": .table(ConfigTable(list: [.number(0.9), .number(1)]))], "lion options: 'betas' must be two numbers, at least 0 and below 1"
      ),
      ("adam", ["eps": .number(.infinity)], "adam options: 'eps' must be a finite number above 0, got inf"),
      ("adafactor", ["warmup_init": .bool(true)], "adafactor options: 'warmup_init' needs relative_step = true"),
      ("adafactor", ["eps": .table(ConfigTable(list: [.number(1)]))], "adafactor options: 'eps' must be two finite numbers of at least 0"),
    ]
    func build<Rule: UpdateRule>(_ type: Rule.Type, _ fields: [String: ConfigValue]) throws {
      _ = try Rule(table: ConfigTable(fields: fields))
    }
    for (name, fields, message) in mistakes {
      let error = #expect(throws: EngineError.self) { try build(try OptimizerName.decode(.text(name)).rule, fields) }
      #expect(error?.description == message)
    }
  }
}

@Suite struct ScheduleTests {
  @Test func multipliersFollowTheReference() throws {
    let recorded = try RecordedSteps()
    let total = try #require(recorded.config["num_training_steps"]?.intValue)
    let rate = try #require(recorded.config["learning_rate"]?.doubleValue)
    for name in recorded.schedules {
      let entry = try #require(recorded.config["schedules"]?[name])
      let kind = try #require(Schedule.Kind(rawValue: entry["kind"]?.stringValue ?? ""))
      let fields = recorded.options(of: name, in: "schedules").members.map { ($0, $1.configValue) }
      let options = try ScheduleOptions(table: ConfigTable(fields: Dictionary(uniqueKeysWithValues: fields)))
      try options.check(kind, learningRate: rate)
      let schedule = Schedule(
        kind, warmupSteps: entry["warmup"]?.intValue ?? -1, totalSteps: total, options: options, learningRate: rate)
      let expected = try recorded.file.tensor("schedule." + name).values
      #expect(expected.count == total + 1)
      for (step, value) in expected.enumerated() {
        #expect(abs(schedule.multiplier(step) - value) <= 1e-12, "\(name), step \(step): \(schedule.multiplier(step)), expected \(value)")
      }
    }
  }

  /// `ops.safetensors` has the older ones.
  @Test func firstSchedulesFollowTheReference() throws {
    let file = try SafetensorsFile(packageRoot + "/Tests/Fixtures/ops.safetensors")
    for (name, kind) in [("linear", Schedule.Kind.linear), ("cosine", .cosine), ("constant", .constantWithWarmup)] {
      for warmup in [0, 2, 5] {
        let schedule = Schedule(kind, warmupSteps: warmup, totalSteps: 17)
        for (step, value) in try file.tensor("schedule.\(name).warmup\(warmup)").values.enumerated() {
          #expect(abs(schedule.multiplier(step) - value) <= 1e-12, "\(name), warmup \(warmup), step \(step)")
        }
      }
    }
  }

  /// No course divides by zero, whatever the numbers of updates.
  @Test func edgesAreFinite() {
    for kind in Schedule.Kind.allCases {
      for (warmup, total) in [(0, 0), (0, 1), (1, 1), (5, 3), (3, 3)] {
        for done in 0...6 {
          let value = Schedule(kind, warmupSteps: warmup, totalSteps: total).multiplier(done)
          #expect(value.isFinite && value >= 0, "\(kind.rawValue) \(warmup) \(total) \(done): \(value)")
        }
      }
    }
  }
}
