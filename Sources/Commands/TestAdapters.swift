import Bindings
import Diagnostics
import Engine
import Files
import LuaHost
import LuaMethods
import Pipelines
import Training

extension Runner {
  /// Checks every method that a Lua file defines, prints a table, and says whether all checks passed.
  ///
  /// `settings`: `name=value` for options of the methods; each must be an option of one of them. Throws for a file that cannot
  /// be run, or defines nothing.
  public static func testAdapters(_ path: String, settings: [String] = []) throws -> Bool {
    try withDefinitions(of: path) { definitions in
      let outcomes = try conformance(of: definitions, settings, on: ConformanceFamily.builtIn(seed: 1))
      print(summary(outcomes))
      return outcomes.allSatisfy { $0.results.allSatisfy { if case .failed = $0.outcome { false } else { true } } }
    }
  }

  /// Runs a Lua file, and `body` with the methods that it defined. Throws if it defines none.
  static func withDefinitions<Result>(of path: String, _ body: (LuaDefinitions) throws -> Result) throws -> Result {
    EngineSetup.configure(threads: nil, precision: .fp32)
    let session = Session(
      mode: .check, settings: [], runDirectory: nil, store: StageStore(),
      progress: Pipelines.Progress(style: ProgressStyle(mode: .quiet)), seed: 42, print: { print($0) })
    let definitions = LuaDefinitions(session)
    let state = try ScriptState.make(session, RunOptions(), script: path, definitions: definitions)
    defer { state.close() }
    try state.run(file: path)
    guard !definitions.all.isEmpty else {
      throw EngineError(.argument, "\(path): defines no adapter", hint: "call adapters.define")
    }
    return try body(definitions)
  }

  /// What a check found; `method` names the definition and the family that it was tried on.
  typealias CheckOutcomes = (check: String, results: [(method: String, outcome: AdapterConformance.Outcome)])

  /// The outcome of each check for each definition on each family.
  static func conformance(
    of defined: LuaDefinitions, _ settings: [String] = [], on families: [ConformanceFamily]
  ) throws -> [CheckOutcomes] {
    let definitions = defined.all
    let options = try definitions.map { try values(settings, $0, among: definitions) }
    let tests = try zip(definitions, options).flatMap { definition, options in
      try families.map { family in
        let test = try AdapterConformance(
          definition.method(options, place: definition.name + " options"), on: family, exactGradient: definition.parts.exactGradient,
          reading: defined.method)
        return (method: "\(definition.name) on \(family.base.architecture.modelType)", test: test)
      }
    }
    return try AdapterConformance.checks.map { check in
      (
        check.name,
        try tests.map { method, test in
          (method, try test.outcome(check.run) { error in (error as? LuaError).flatMap { $0.isInterruption ? nil : $0.message } })
        }
      )
    }
  }

  /// The settings that are options of a definition; all have to be options of one of them.
  private static func values(_ settings: [String], _ definition: LuaDefinition, among all: [LuaDefinition]) throws -> JSONObject {
    let known = Set(all.flatMap { $0.fields.parameters.map(\.name) })
    let own = Set(definition.fields.parameters.map(\.name))
    let fitting = try settings.filter {
      let setting = try Setting($0)
      guard known.contains(setting.name) else { throw setting.unknown(among: Array(known)) }
      return own.contains(setting.name)
    }
    return try definition.fields.resolve(settings: fitting)
  }

  private static func summary(_ outcomes: [CheckOutcomes]) -> String {
    var notes: [String] = []
    let rows: [[JSONValue]] = outcomes.map { check, results in
      [.string(check)]
        + results.map { name, outcome in
          switch outcome {
          case .passed: return "ok"
          case .notApplicable(let why):
            notes.append("\(name): \(check): -: \(why)")
            return "-"
          case .failed(let why):
            notes.append("\(name): \(check): FAILED: \(why)")
            return "FAILED"
          }
        }
    }
    let names = outcomes.first?.results.map(\.method) ?? []
    let table = Table(columns: [Table.Column("check")] + names.map { Table.Column($0) }, rows: rows)
    return ([table.text()] + notes).joined(separator: "\n")
  }
}
