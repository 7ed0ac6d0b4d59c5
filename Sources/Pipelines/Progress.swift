import Diagnostics
import Files
import Foundation

/// Where progress goes and how it may look.
public struct ProgressStyle: Sendable, Equatable {
  /// How to show progress.
  public enum Mode: Sendable, Equatable {
    /// One line that is drawn over and over.
    case bar
    /// Lines, one per interval.
    case lines
    /// Nothing.
    case quiet
  }

  public var mode: Mode
  public var color: Bool
  /// Terminal columns.
  public var columns: Int
  /// Whether the terminal can show letters beyond ASCII.
  public var unicode: Bool

  public init(mode: Mode, color: Bool = false, columns: Int = 80, unicode: Bool = true) {
    self.mode = mode
    self.color = color
    self.columns = columns
    self.unicode = unicode
  }

  /// What suits a file descriptor: a bar on a terminal, lines elsewhere. `CI` and `TERM=dumb` ask
  /// for lines, `NO_COLOR` for no colours, `COLUMNS` sets the width.
  public static func detect(
    descriptor: Int32 = 2, quiet: Bool = false,
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> ProgressStyle {
    detect(
      isTerminal: isatty(descriptor) == 1, terminalColumns: terminalColumns(descriptor),
      quiet: quiet, environment: environment)
  }

  static func detect(
    isTerminal: Bool, terminalColumns: Int?, quiet: Bool, environment: [String: String]
  ) -> ProgressStyle {
    func isSet(_ key: String) -> Bool { !(environment[key] ?? "").isEmpty }
    let isCI = isSet("CI") && !["0", "false"].contains(environment["CI"])
    let isCapable = isTerminal && environment["TERM"] != "dumb"
    let columns = environment["COLUMNS"].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].first(where: isSet).flatMap { environment[$0] }
    let isUnicode = (locale ?? "").lowercased().replacing("-", with: "").contains("utf8")
    return ProgressStyle(
      mode: quiet ? .quiet : isCapable && !isCI ? .bar : .lines,
      color: isCapable && !isSet("NO_COLOR"),
      columns: min(max(columns ?? terminalColumns ?? 80, 20), 1000), unicode: isUnicode)
  }

  private static func terminalColumns(_ descriptor: Int32) -> Int? {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }
}

/// Shows how far a stage is: step, loss, learning rate, speed, time left.
///
/// One instance serves a run; it belongs to one thread.
public final class Progress {
  private let style: ProgressStyle
  private let interval: Double
  private let now: () -> Double
  private let write: (String) -> Void
  /// Takes the lines that a run keeps: where a stage begins and ends, and notes, also those that are not shown.
  public var keep: (String) -> Void = { _ in }

  /// The stages that the run will come to, where somebody watches; told beside the time that is left.
  public var plan: PipelinePlan?
  private var stage = ""
  private var stageName = ""
  private var firstStep = 0
  private var best = ""
  private var total: Int?
  private var isActive = false
  private var isBarDrawn = false
  private var started = 0.0
  private var lastShown = -Double.infinity
  private var latest = Sample(time: 0, step: 0, tokens: 0)
  private var lossText = ""
  private var rateText = ""
  /// A part of a step that takes long: when it began, and how far it is.
  private var part: (started: Double, text: String)?
  /// Speed is taken over the last samples, so that it follows a machine that gets slower.
  private var samples: [Sample] = []

  private struct Sample {
    var time: Double
    var step: Int
    var tokens: Int
  }

  /// A terminal repaints no faster than people can read.
  private static let redrawInterval = 0.1
  private static let sampleInterval = 1.0
  private static let sampleLimit = 30

  /// - Parameters:
  ///   - style: where it goes; `ProgressStyle.detect()` suits standard error.
  ///   - interval: seconds between two lines where there is no bar.
  ///   - now: seconds on a clock that does not jump.
  ///   - write: takes the text.
  public init(
    style: ProgressStyle, interval: Double = 10,
    now: @escaping () -> Double = { Double(DispatchTime.now().uptimeNanoseconds) / 1e9 },
    write: @escaping (String) -> Void = { StandardError.write($0) }
  ) {
    self.style = style
    self.interval = interval
    self.now = now
    self.write = write
  }

  /// Whether somebody sees it on a terminal.
  public var isWatched: Bool { style.mode == .bar }

  /// Starts a stage. `total` is its number of steps, or of what else `unit` says, if known; `step` and `tokens` are where a
  /// resumed one goes on.
  public func begin(_ stage: String, total: Int? = nil, unit: String = "steps", step: Int = 0, tokens: Int = 0) {
    clearBar()
    (stageName, firstStep, best) = (stage, step, "")
    self.stage = Table.printable(stage)
    self.total = total.flatMap { $0 > 0 ? $0 : nil }
    isActive = true
    started = now()
    latest = Sample(time: started, step: step, tokens: tokens)
    samples = [latest]
    (lossText, rateText, part) = ("", "", nil)
    lastShown = started
    let steps = self.total.map { ": \($0) \(unit)" } ?? ""
    let text = self.stage + steps + (step > 0 ? ", resumed at \(step)" : "")
    keep(text)
    if style.mode == .lines { line(text) }
    draw()
  }

  /// Tells how far the stage is. Cheap enough for every step: most calls show nothing.
  ///
  /// - Parameters:
  ///   - step: steps done, from the start of the stage.
  ///   - tokens: tokens seen, from the start of the stage.
  public func update(
    step: Int, loss: Double? = nil, learningRate: Double? = nil, tokens: Int = 0
  ) {
    guard isActive else { return }
    let time = now()
    latest = Sample(time: time, step: step, tokens: tokens)
    if let last = samples.last, time - last.time >= Self.sampleInterval {
      samples.append(latest)
      if samples.count > Self.sampleLimit { samples.removeFirst() }
    }
    lossText = loss.map { "  loss " + numberText($0) } ?? ""
    rateText = learningRate.map { "  lr " + $0.shortScientific } ?? ""
    part = nil
    show(time, isLast: step == total)
  }

  /// Tells how far a part of a step is that takes long: the texts that an evaluation writes. It is shown in the place of the time that is
  /// left, until the stage's next `update`; between stages alone, until all is done.
  ///
  /// - Parameters:
  ///   - done: units that are done; 0 begins the part.
  ///   - tokens: tokens of these.
  public func updatePart(_ unit: String, done: Int, of total: Int, tokens: Int) {
    let time = now()
    let started = done == 0 ? time : part?.started ?? time
    let speed = tokens > 0 && time > started ? "  \(fixed(Double(tokens) / (time - started), decimals: 0)) tokens/s" : ""
    part = (started, "\(done)/\(total) \(unit)\(speed)")
    if done == 0, style.mode == .lines { lastShown = time }
    show(time, isLast: done == total)
    guard !isActive, done == total else { return }
    part = nil
    clearBar()
  }

  private func show(_ time: Double, isLast: Bool) {
    let wait = style.mode == .bar ? Self.redrawInterval : interval
    guard time - lastShown >= wait || (style.mode == .bar && isLast) else { return }
    lastShown = time
    if style.mode == .lines { line(status()) }
    draw()
  }

  /// Tells the best evaluation of the stage so far, in a word and a number.
  public func noteBest(_ text: String, step: Int) { best = "  best \(Table.printable(text)) at \(step)" }

  /// A message of its own line, above the bar; also shown between stages.
  public func note(_ text: String) {
    let text = Table.printable(text)
    keep(text)
    clearBar()
    line(text)
    draw()
  }

  /// Ends the stage with a line such as "accuracy 0.81".
  public func end(_ summary: String = "") {
    part = nil
    clearBar()
    guard isActive else { return }
    isActive = false
    plan?.ended(stageName, steps: latest.step - firstStep, seconds: now() - started)
    let text = "\(stage): \(summary.isEmpty ? "done" : Table.printable(summary)) (\(durationText(now() - started)))"
    keep(text)
    line(text)
  }

  // MARK: - Text

  /// `isShort`: without what can be missed first, so that the time that is left stays where a terminal is narrow.
  private func status(isShort: Bool = false) -> String {
    guard isActive else { return part?.text ?? "" }
    let steps = total.map { "\(latest.step)/\($0)" } ?? "step \(latest.step)"
    let place = plan?.place(of: stageName).map { "[\($0)] " } ?? ""
    return "\(place)\(stage)  \(steps)\(lossText)\(isShort ? "" : rateText)\(best)\(part.map { "  " + $0.text } ?? speed(isShort: isShort))"
  }

  private func speed(isShort: Bool) -> String {
    guard let first = samples.first, latest.time > first.time else { return "" }
    let seconds = latest.time - first.time
    var text = ""
    let tokens = latest.tokens - first.tokens
    if tokens > 0, !isShort { text += "  \(fixed(Double(tokens) / seconds, decimals: 0)) tokens/s" }
    let steps = latest.step - first.step
    if let total, steps > 0, total >= latest.step {
      let left = Double(total - latest.step) * seconds / Double(steps)
      text += "  " + durationText(left) + " left"
      if let ahead = plan?.secondsAhead(of: stageName), ahead > 0 { text += ", \(durationText(left + ahead)) in all" }
    }
    return text
  }

  private func draw() {
    guard style.mode == .bar, isActive || part != nil else { return }
    let whole = status()
    let text = displayWidth(whole) < style.columns ? whole : status(isShort: true)
    // The last column stays free: some terminals wrap when it is written.
    let room = style.columns - 1 - displayWidth(text) - 2
    var line = text
    if let total, isActive, room >= 6 {
      let width = min(room, 30)
      let share = min(max(Double(latest.step) / Double(total), 0), 1)
      let filled = Int((share * Double(width)).rounded(.down))
      let (full, empty) = style.unicode ? ("━", "╌") : ("=", ".")
      let done = String(repeating: full, count: filled)
      let rest = String(repeating: empty, count: width - filled)
      line = (style.color ? "\u{1B}[32m\(done)\u{1B}[0m" : done) + rest + "  " + text
    } else {
      while displayWidth(line) > style.columns - 1 { line.removeLast() }
    }
    isBarDrawn = true
    write("\r\(line)\u{1B}[K")
  }

  private func clearBar() {
    if isBarDrawn { write("\r\u{1B}[K") }
    isBarDrawn = false
  }

  private func line(_ text: String) {
    if style.mode != .quiet { write(text + "\n") }
  }
}
