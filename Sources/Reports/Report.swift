import Diagnostics
import Files
import Foundation
import Metrics
import Pipelines

/// A page about one run, or about several and how they compare: one file of HTML that needs no other, and no network.
public struct Report {
  private let runs: [ReportedRun]
  private let version: String

  /// - Parameters:
  ///   - paths: run directories, at least one; one that is given twice counts once.
  ///   - version: the engine's, for the last line.
  ///
  /// Throws `EngineError`: `.file` for what is no run directory, `.data` where a file of it is damaged.
  public init(_ paths: [String], version: String) throws {
    var known: Set<String> = []
    let folders = try paths.filter { known.insert(realPath($0) ?? $0).inserted }.map { try RunFolder($0) }
    let names = Dictionary(folders.map { ($0.name, 1) }, uniquingKeysWith: +)
    runs = try folders.map { try ReportedRun($0, name: names[$0.name] == 1 ? $0.name : $0.path) }
    self.version = version
  }

  /// Writes the page. Throws `EngineError` (`.file`) where it cannot be written, and where a file is there that is no report.
  public func write(to path: String) throws {
    if fileExists(path) {
      let beginning = String(decoding: try readFile(path).prefix(1000), as: UTF8.self)
      guard beginning.contains(Page.generator) else {
        throw EngineError(.file, "--out \(path): is there, and is no report", hint: "choose another --out; nothing was written")
      }
    }
    try AtomicFile.write(page(), to: path)
  }

  /// The page.
  public func page() -> String {
    let title = runs.count == 1 ? runs[0].name : "\(runs.count) runs"
    let sweeps = Sweep.all(in: runs).flatMap { SweepSection(sweep: $0).markup() }
    let curves = CurvesSection(runs).markup()
    var content: [Markup] = [header(title)]
    if let run = runs.first, runs.count == 1 {
      let section = RunSection(run)
      content += [section.stages(), section.results(), Page.section("Sweeps", sweeps), Page.section("Learning curves", curves)] + section.details()
    } else {
      content += [overview(), Page.section("Sweeps", sweeps), Page.section("Learning curves", curves)]
      for run in runs {
        let section = RunSection(run)
        let parts = [section.status(), section.stages(), section.results()] + section.details()
        let summary = Markup("summary", text: run.name)
        content.append(runs.count <= 4 ? Markup("details", ["open": "open"], [summary] + parts) : Markup("details", [:], [summary] + parts))
      }
    }
    return Page.document(title: title, version: version, content)
  }

  private func header(_ title: String) -> Markup {
    Markup("header", [:], [Markup("h1", text: title), runs.count == 1 ? RunSection(runs[0]).status() : .empty])
  }

  /// A line for each run, with the parameters in which they differ.
  private func overview() -> Markup {
    let differing = Sweep.differingParameters(of: runs)
    var table = Pipelines.Table(columns: ["run", "status", "script", "started", "took"] + differing.map { .init($0) } + ["last stage", "result"])
    for run in runs {
      let last = run.folder.stages.last
      let metric = last.flatMap { ReportedRun.mainMetric(of: $0, inputs: run.folder.key(of: $0.name)?.inputs) }
      let value = metric.flatMap { metric in last?.metrics.first { $0.name == metric }?.value }
      let result = zip([metric], [value]).compactMap { name, value in
        name.flatMap { name in value.map { EvaluationName.bare(name) + " " + numberText($0) } }
      }
      let known: [JSONValue] = [
        .string(run.name), .string(run.statusWords.text), .string(run.folder.command.script), .string(run.folder.invocation.start),
        .string(run.folder.invocation.duration.map(durationText) ?? ""),
      ]
      let parameters = differing.map { JSONValue.string(run.folder.parameters[$0]?.shown ?? Sweep.none) }
      table.append(known + parameters + [.string(last?.name ?? ""), .string(result.first ?? "")])
    }
    return Page.section("Runs", [Page.table(table, title: differing.isEmpty ? nil : "With the parameters in which they differ")])
  }
}
