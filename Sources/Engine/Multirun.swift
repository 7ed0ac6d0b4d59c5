import Diagnostics
import Files
import Foundation
import Metrics
import Pipelines
import Runs
import TensorCore

/// `perigee run --multirun`: a run of the same script for each point of a grid, one after another, each in a directory of its own below
/// one folder. Stages that points have in common are trained once, since all runs share the stage store.
package struct Multirun {
  private var options: RunOptions
  private let grid: SettingGrid
  private let open: PipelineRun.Opening

  /// - Parameters:
  ///   - options: those of every point; `settings` are the parameters that all of them share, `out` is the folder of their run directories.
  ///   - settings: what follows each `--set`, values separated by commas.
  package init(_ options: RunOptions, settings: [String], open: @escaping PipelineRun.Opening) throws {
    (self.options, self.open) = (options, open)
    grid = try SettingGrid(settings)
  }

  /// Runs all points, and prints a table of them. A point that fails does not keep the others from running.
  ///
  /// Throws `EngineError` for values that the script's parameters do not take, before anything runs; `.interrupted` after a signal; and
  /// at the end where points have failed.
  package mutating func run() throws {
    try checkParameters()
    let folder = try chooseFolder()
    // A folder that no run came to need goes again.
    defer { rmdir(folder) }
    var failed: [Int] = []
    for (number, point) in grid.points.enumerated() {
      say("point \(number + 1) of \(grid.points.count): \(words(of: point))")
      do {
        var run = PipelineRun(options(of: point, in: folder), open: open)
        try run.run()
      } catch {
        if isInterruption(error) {
          say("stopped at point \(number + 1) of \(grid.points.count); the same command with --out \(folder) goes on")
          throw error
        }
        StandardError.write("perigee: error: point \(words(of: point)): \("\(error)".inOneLine)\n")
        failed.append(number)
      }
      // What was measured for the first point holds for all.
      options.precision = Precision.current == .bf16 ? .bf16 : .fp32
    }
    print(table(in: folder, failed: failed).text())
    guard failed.isEmpty else {
      let names = failed.prefix(4).map { words(of: grid.points[$0]) } + (failed.count > 4 ? ["and \(failed.count - 4) more"] : [])
      throw EngineError(
        .argument, "\(failed.count) of \(grid.points.count) points failed: \(names.joined(separator: ", "))",
        hint: "the same command with --out \(folder) runs them again")
    }
  }

  /// Throws for the first point that the script's parameters do not take.
  private func checkParameters() throws {
    let declared = try PipelineRun(options, open: open).declaredParameters(of: options.source()) ?? ParameterSet([])
    for point in grid.points { _ = try declared.resolve(settings: options.settings + point.settings) }
  }

  private func chooseFolder() throws -> String {
    guard let out = options.out else { return try RunDirectory.claimFolder(for: options.script) }
    try FilePath.require(out)
    let path = FilePath.withoutSlashesAtEnd(out)
    if path.isEmpty { throw EngineError(.file, "--out: expected a folder, given '\(out)'") }
    if RunFolder.isRun(path) {
      throw EngineError(.file, "--out \(path): is a run directory; --multirun makes one for each point in a folder", hint: "choose another folder")
    }
    if let kind = fileKind(path), kind != .folder { throw EngineError(.file, "--out \(path): is a file, expected a folder") }
    return path
  }

  private func options(of point: SettingGrid.Point, in folder: String) -> RunOptions {
    var options = options
    options.settings += point.settings
    // Points differ because they are to.
    options.saysWhy = false
    options.out = folder + "/" + point.folderName
    options.arguments = Self.arguments(CommandLine.arguments, settings: point.settings, out: options.out ?? folder)
    return options
  }

  /// The command line that runs one point alone.
  static func arguments(_ all: [String], settings: [String], out: String) -> [String] {
    var kept: [String] = []
    var rest = all[...]
    while let word = rest.popFirst() {
      if ["--set", "--out"].contains(word) {
        _ = rest.popFirst()
      } else if word != "--multirun", !word.hasPrefix("--set="), !word.hasPrefix("--out=") {
        kept.append(word)
      }
    }
    return kept + settings.flatMap { ["--set", $0] } + ["--out", out]
  }

  private func say(_ text: String) {
    if !options.isQuiet { StandardError.write(text + "\n") }
  }

  /// The point by the values that make it differ from the others: "r=2 batch=8".
  private func words(of point: SettingGrid.Point) -> String {
    let shown = point.values.filter { grid.swept.contains($0.name) }
    return (shown.isEmpty ? point.values : shown).map { "\($0.name)=\($0.value)" }.joined(separator: " ")
  }

  /// One row for each point: its values, the metric that the first one with a result shows, how its run ended, its directory.
  private func table(in folder: String, failed: [Int]) -> Table {
    let runs = grid.points.enumerated().map { number, point in
      failed.contains(number) ? nil : (try? RunFolder(folder + "/" + point.folderName)).flatMap { try? RunSummary($0) }
    }
    let metric = runs.lazy.compactMap { $0?.shownMetrics.first?.name }.first
    var table = Table(columns: (grid.swept + [metric.map(EvaluationName.bare)].compactMap(\.self) + ["run", "folder"]).map { Table.Column($0) })
    for (number, point) in grid.points.enumerated() {
      var row = point.values.filter { grid.swept.contains($0.name) }.map { value in
        Int(value.value).map { JSONValue.int($0) } ?? Double(value.value).map { .double($0) } ?? .string(value.value)
      }
      if let metric { row.append(runs[number]?.value(metric) ?? .null) }
      table.append(row + [.string(failed.contains(number) ? "failed" : "finished"), .string(folder + "/" + point.folderName)])
    }
    return table
  }
}
