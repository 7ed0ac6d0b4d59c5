import ArgumentParser
import Diagnostics
import Files
import Metrics

/// `perigee score`
struct Score: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "score",
    abstract: "Compare texts with references.",
    discussion: """
      Metrics, each with the numbers of the program that the field uses:

      \(MetricCatalogue.metrics.filter(\.readsTexts).map { "  \($0.name): \($0.doc)" }.joined(separator: "\n"))

      Files are UTF-8, one text a line. With several files of references, an empty line says that a segment has no such \
      reference; one file alone may have all references of a segment in lines of their own, with an empty line between segments.

        perigee score sacrebleu chrf ter --hyp output.ro --ref test.ro
        perigee score e2e_bleu nist rougeL --hyp output.txt --ref references.txt --bootstrap 1000
        perigee score sacrebleu chrf --hyp out.txt --ref ref0.txt ref1.txt --set sacrebleu.tokenize=intl --json

      'perigee help metrics.sacrebleu' lists a metric's options.
      """)

  @Argument(help: ArgumentHelp("Metrics, at least one.", valueName: "metric"))
  var metrics: [String]

  @Option(help: ArgumentHelp("The texts to score.", valueName: "file"), completion: .file())
  var hyp: String

  @Option(parsing: .upToNextOption, help: ArgumentHelp("The references.", valueName: "file"), completion: .file())
  var ref: [String]

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("Give an option of all metrics a value, or of one, as metric.name=value; may be repeated.", valueName: "name=value"))
  var settings: [String] = []

  @Option(help: ArgumentHelp("Add 95 % confidence intervals from so many corpora drawn from the segments.", valueName: "count"))
  var bootstrap: Int?

  @Option(help: ArgumentHelp("Where the draws begin.", valueName: "number"))
  var seed: UInt64 = BootstrapOptions.defaultSeed

  @Flag(help: "Print JSON, with all digits.")
  var json = false

  func run() throws {
    let chosen = try metrics.map { try MetricCatalogue.metric(named: $0) }
    if let twice = metrics.enumerated().first(where: { metrics[..<$0.offset].contains($0.element) }) {
      throw EngineError(.argument, "metric '\(twice.element)' is given twice")
    }
    if let bootstrap, !(2...1_000_000).contains(bootstrap) {
      throw EngineError(.argument, "--bootstrap \(bootstrap): expected a number from 2 to 1000000")
    }
    let settings = try self.settings.map { try Setting($0) }
    for setting in settings where setting.name.contains(".") {
      let name = String(setting.name.prefix { $0 != "." })
      guard metrics.contains(name) else { throw setting.unknown(among: metrics.map { "\($0).OPTION" }, hint: "'\(name)' is not one of the metrics") }
    }
    let texts = try ScoredTexts(hypothesisPath: hyp, referencePaths: ref)
    let reports = try chosen.map { metric in
      try metric.score(
        texts, settings: Self.settings(settings, of: metric.name), bootstrap: bootstrap.map { BootstrapOptions(resamples: $0, seed: seed) })
    }
    print(json ? Self.json(reports, texts) : Self.table(reports, texts))
  }

  /// The settings that are for a metric: those of all, and its own.
  private static func settings(_ all: [Setting], of metric: String) -> [(name: String, value: String)] {
    all.compactMap { setting in
      guard let dot = setting.name.firstIndex(of: ".") else { return (setting.name, setting.value) }
      return setting.name[..<dot] == metric ? (String(setting.name[setting.name.index(after: dot)...]), setting.value) : nil
    }
  }

  private static func table(_ reports: [TextReport], _ texts: ScoredTexts) -> String {
    let width = (reports.map(\.metric.count).max() ?? 0) + 2
    func line(_ name: String, _ text: String) -> String { name.padding(to: width) + text }
    var lines = ["\(texts.hypotheses.count) segments, references of each: \(texts.referenceCounts)"]
    for report in reports {
      lines.append(line(report.metric, short(report.score.value)))
      if let interval = report.interval {
        lines.append(
          line(
            "",
            "95 % from \(short(interval.low)) to \(short(interval.high)), mean \(short(interval.mean)) (\(interval.resamples) samples, seed \(interval.seed))"
          ))
      }
      if !report.score.parts.isEmpty { lines.append(line("", report.score.parts.map { "\($0.name) \(short($0.value))" }.joined(separator: "  "))) }
      if !report.options.isEmpty { lines.append(line("", report.options.map { "\($0.name)=\($0.value)" }.joined(separator: " "))) }
      lines += report.remarks.map { line("", $0) }
    }
    return lines.joined(separator: "\n")
  }

  /// Four digits after the point, as the E2E challenge's program has them; none for whole numbers.
  private static func short(_ value: Double) -> String {
    if let whole = Int(exactly: value) { return String(whole) }
    let scaled = (abs(value) * 1e4).rounded()
    guard let digits = Int(exactly: scaled) else { return "\(value)" }
    let fraction = String(digits % 10_000)
    return (value < 0 ? "-" : "") + "\(digits / 10_000)." + String(repeating: "0", count: 4 - fraction.count) + fraction
  }

  private static func json(_ reports: [TextReport], _ texts: ScoredTexts) -> String {
    let scores = reports.map { report -> (String, JSONValue) in
      var members: [(String, JSONValue)] = [
        ("score", .double(report.score.value)),
        ("parts", .object(JSONObject(report.score.parts.map { ($0.name, .double($0.value)) }))),
        ("options", .object(JSONObject(report.options.map { ($0.name, .string($0.value)) }))),
      ]
      if let interval = report.interval {
        members.append(
          (
            "bootstrap",
            .object(
              JSONObject([
                ("low", .double(interval.low)), ("high", .double(interval.high)), ("mean", .double(interval.mean)),
                ("resamples", .int(interval.resamples)), ("seed", .int(Int(clamping: interval.seed))),
              ]))
          ))
      }
      if !report.remarks.isEmpty { members.append(("remarks", .array(report.remarks.map { .string($0) }))) }
      return (report.metric, .object(JSONObject(members)))
    }
    let all = JSONObject([
      ("segments", .int(texts.hypotheses.count)), ("references", .string(texts.referenceCounts)), ("scores", .object(JSONObject(scores))),
    ])
    return JSONValue.object(all).encoded(.indented)
  }
}

extension String {
  fileprivate func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
