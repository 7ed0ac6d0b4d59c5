import Diagnostics
import Files
import Foundation
import Pipelines
import TensorCore
import Training

extension ProcessGroup {
  /// Throws in all processes where one of them has something else than the first one.
  ///
  /// - Parameters:
  ///   - what: what it is, in words; all processes have to come here at the same time.
  ///   - hint: what to do then.
  func agree(on what: String, _ value: JSONValue, hint: String) throws {
    guard count > 1 else { return }
    let digests = try all(what, .string(Digest(of: value).hex)).map { $0.stringValue ?? "" }
    guard let other = digests.firstIndex(where: { $0 != digests[0] }) else { return }
    let values = try all(what, value)
    let differences = ValueDifference.between(values[0], values[other]).prefix(2).map(\.description).joined(separator: "; ")
    throw EngineError(
      .argument,
      "\(what): \(name(other)) differs from \(name(0)): \(differences) (digests \(digests[0].prefix(12)) and \(digests[other].prefix(12)))",
      hint: hint)
  }

  /// The cores of this process, where those that run on the same machine with the same cores take equal parts of them; nil: all are its own.
  func shareOfCores() throws -> Int? {
    guard count > 1 else { return nil }
    let places = try all("the cores", .string("\(ProcessInfo.processInfo.hostName) \(HostFacts.allowedCPUs())"))
    let together = places.filter { $0 == places[rank] }.count
    return together > 1 ? max(1, Threads.count / together) : nil
  }
}

/// What the first of several processes tells the others when a run begins.
struct JointStart {
  var settings: [String]
  var seed: Int?
  var script: RunScript
  /// Where the script came from.
  var original: String

  private static let place = "the start of the run"

  /// Throws where the processes were given different commands.
  static func compare(_ options: RunOptions) throws {
    let isFile = !options.script.isEmpty && options.text == nil
    let value: JSONObject = [
      "version": .string(EngineSetup.version), "script": isFile ? .string(Digest(of: try options.source().text).hex) : .null,
      "settings": .array(options.settings.map { .string($0) }), "seed": options.seed.map { .int($0) } ?? .null,
      "precision": .string(options.precision.rawValue),
    ]
    try options.group.agree(on: "the command", .object(value), hint: "all processes need the same perigee, script and parameters")
  }

  /// Told by the first process.
  func tell(_ group: any ProcessGroup) throws {
    guard group.count > 1 else { return }
    _ = try group.first(Self.place) {
      [
        "settings": .array(settings.map { .string($0) }), "seed": seed.map { .int($0) } ?? .null, "path": .string(script.path),
        "text": .string(script.text), "title": .string(script.title), "original": .string(original),
        "precision": .string(Precision.current.rawValue),
        "products": .object(JSONObject(Products.allCases.map { ($0.rawValue, .string($0.provider)) })),
      ]
    }
    try Self.agreeOnArithmetic(group)
  }

  /// Heard by the others, which from here on compute as the first one does.
  init(hearing options: RunOptions) throws {
    let told = try options.group.first(Self.place) { .null }
    func text(_ name: String) -> String { told[name]?.stringValue ?? "" }
    settings = (told["settings"]?.arrayValue ?? []).compactMap(\.stringValue)
    (seed, original) = (told["seed"]?.intValue, text("original"))
    script = RunScript(path: text("path"), text: text("text"), title: text("title"))
    EngineSetup.configure(threads: options.threads, memory: options.memory, precision: PrecisionChoice(rawValue: text("precision")) ?? .fp32)
    for kind in Products.allCases { _ = kind.choose(told["products"]?[kind.rawValue]?.stringValue ?? "") }
    try Self.agreeOnArithmetic(options.group)
  }

  init(settings: [String], seed: Int?, script: RunScript, original: String) {
    (self.settings, self.seed, self.script, self.original) = (settings, seed, script, original)
  }

  private static func agreeOnArithmetic(_ group: any ProcessGroup) throws {
    try group.agree(
      on: "the arithmetic",
      [
        "precision": .string(Precision.current.rawValue), "products": .string(Products.text), "units": .string(Products.candidates),
        "openblas": .string(OpenBLAS.core.used),
      ],
      hint: "CPUs that differ round in other ways: take machines of one kind, or set PERIGEE_CPU=avx2, PERIGEE_PRODUCTS and "
        + "OPENBLAS_CORETYPE=Haswell for all")
  }
}

/// What a stage turned out to be that several processes come to.
enum OpenedStage {
  case finished(StoredStage)
  /// `work` is the first process's alone. The others go on from the `state` that it found; nil: from the beginning.
  case begun(work: StageWork?, state: String?)
}

extension Session {
  /// A stage's result, or the work at it, the same for all processes; see `openAlone`.
  func open(_ key: StageKey) throws -> OpenedStage {
    let place = "stage '\(key.name)'"
    try group.agree(on: place, key.inputs, hint: "all processes have to read the same models and data")
    var mine = OpenedStage.begun(work: nil, state: nil)
    let found = try group.first(place) {
      switch try openAlone(key) {
      case .finished(let stored):
        mine = .finished(stored)
        return ["finished": true]
      case .begun(let work):
        mine = .begun(work: work, state: nil)
        guard group.count > 1 else { return .null }
        let state = try work.loadState()?.folder
        return ["folder": .string(work.scratchFolder), "state": state.map { .string($0) } ?? .null]
      }
    }
    guard group.rank > 0 else { return mine }
    if found["finished"] != nil { return .finished(try published(key)) }
    let folder = found["folder"]?.stringValue ?? ""
    try awaitSight { fileExists(folder) ? true : nil }
    return .begun(work: nil, state: found["state"]?.stringValue)
  }

  /// The stage's result, which the first process, whose `work` it is, stores by `finish`, for all processes.
  func publish(_ key: StageKey, _ work: StageWork?, _ finish: (StageWork) throws -> StoredStage) throws -> StoredStage {
    var mine: StoredStage?
    _ = try group.first("the result of stage '\(key.name)'") {
      guard let work else { throw EngineError(.argument, "stage '\(key.name)': is not this process's to store") }
      mine = try finish(work)
      return .null
    }
    return try mine ?? published(key)
  }

  private func published(_ key: StageKey) throws -> StoredStage { try awaitSight { try store.lookup(key) } }

  /// A network's file system shows some seconds later what another machine has written.
  @discardableResult
  private func awaitSight<Value>(_ look: () throws -> Value?) throws -> Value {
    for _ in 0..<100 {
      if let value = try look() { return value }
      usleep(200_000)
      try Interrupt.check()
    }
    throw EngineError(
      .file, "does not see in \(store.root) what process 1 has stored there", hint: "name a folder that all machines share with PERIGEE_CACHE")
  }
}
