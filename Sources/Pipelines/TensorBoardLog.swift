import Diagnostics
import Files
import Foundation

/// Event files for TensorBoard, a folder for each stage: the numbers of `metrics.jsonl` under the names that Transformers gives
/// them there (`train/loss`, `eval/accuracy`).
///
/// Files are only added. What an earlier attempt wrote and a resumed one writes again is taken back by a record that says from which
/// step on it does not count. Nothing waits for the disk: what a power cut takes is written anew from the stage's history.
public final class TensorBoardLog: RunListener {
  private let root: OwnFolder
  private let folder: String
  private var stages: [String: StageEvents] = [:]

  /// - Parameters:
  ///   - root: the folder that holds it all, where no link is followed.
  ///   - folder: below it, where the stages' folders are; rows without a stage go into itself.
  public init(in root: String, folder: String) { (self.root, self.folder) = (OwnFolder(root), folder) }

  /// The log of the run directory `run`: in its folder `tensorboard`, or, where `TENSORBOARD_LOGGING_DIR` names another place, there
  /// in a folder with the name of the run's.
  public convenience init(run: String, environment: [String: String] = ProcessInfo.processInfo.environment) {
    if let chosen = Self.chosenFolder(environment) {
      self.init(in: chosen, folder: FilePath.name(of: realPath(run) ?? run))
    } else {
      self.init(in: run, folder: Self.folderName)
    }
  }

  static let folderName = "tensorboard"

  /// What `TENSORBOARD_LOGGING_DIR` says, which counts as named by the user.
  public static func chosenFolder(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String? {
    environment["TENSORBOARD_LOGGING_DIR"].flatMap { $0.isEmpty ? nil : FilePath.expandHome($0, environment) }
  }

  private func events(of stage: String?) throws -> StageEvents {
    if let open = stages[stage ?? ""] { return open }
    let place = folder + (stage.map { "/" + RunDirectory.stageFolderName($0) } ?? "")
    let new = try StageEvents(root, place)
    stages[stage ?? ""] = new
    return new
  }

  public func stageBegan(_ stage: String, rows: [JSONObject], step: Int, settings: TrainingSettings?) throws {
    try events(of: stage).begin(rows.map(Self.scalars), after: step, settings)
  }

  public func logged(_ row: JSONObject, isRepeatable: Bool) throws {
    let events = try events(of: row["stage"]?.stringValue)
    try events.add(Self.scalars(row), unlessRepeated: isRepeatable)
    for (name, value) in row.members where name != "stage" {
      guard let text = value.stringValue, !isRepeatable else { continue }
      try events.append(.text(tag: Self.tag(name), step: row["step"]?.intValue ?? 0, text))
    }
  }

  public func stageEnded(_ facts: JSONObject, isReused: Bool) throws {
    guard let stage = facts["stage"]?.stringValue, let steps = facts["steps"]?.intValue, let seconds = facts["seconds"]?.doubleValue else { return }
    let events = try events(of: stage)
    try events.add([EventFile.Scalar(StageEvents.runtime, step: steps, seconds)], unlessRepeated: true)
    try events.end()
  }

  public func keep() {}

  /// The numbers of a row; those of a list have its name and their place.
  static func scalars(_ row: JSONObject) -> [EventFile.Scalar] {
    let step = row["step"]?.intValue ?? 0
    return row.members.flatMap { name, value -> [EventFile.Scalar] in
      if ["step", "stage"].contains(name) { return [] }
      if let number = value.doubleValue { return [EventFile.Scalar(tag(name), step: step, number)] }
      return (value.arrayValue ?? []).enumerated().compactMap { place, element in
        element.doubleValue.map { EventFile.Scalar("\(tag(name))/\(place)", step: step, $0) }
      }
    }
  }

  /// Transformers' name of a number.
  static func tag(_ name: String) -> String {
    for set in ["eval", "test"] where name.hasPrefix(set + "_") { return set + "/" + name.dropFirst(set.count + 1) }
    return "train/" + name
  }
}

/// The event files of one stage.
private final class StageEvents {
  static let runtime = "train/train_runtime"
  /// Names that a training logs, whatever it is.
  private static let trainers: Set = ["train/loss", "train/grad_norm", "train/learning_rate", "train/epoch", "train/tokens"]

  private let root: OwnFolder
  private let folder: String
  /// What TensorBoard shows of the files that are there, in their order.
  private var shown: [EventFile.Scalar] = []
  /// How often each is there that an earlier attempt wrote.
  private var repeated: [EventFile.Scalar: Int] = [:]
  /// The last of each name.
  private var last: [String: EventFile.Scalar] = [:]
  /// Seconds in the name of the newest file: TensorBoard reads files in the order of their names.
  private var newest = 0
  /// The names of settings that are there.
  private var settings: Set<String> = []
  private var file: FileWriter?

  init(_ root: OwnFolder, _ folder: String) throws {
    (self.root, self.folder) = (root, folder)
    let place = root.path + "/" + folder
    let files = ((try? AtomicFolder.names(in: place)) ?? []).filter { $0.hasPrefix(Self.prefix) }.sorted()
    for file in files {
      newest = max(newest, Int(file.dropFirst(Self.prefix.count).prefix { $0.isNumber }) ?? 0)
      for event in try EventFile.events(inFile: place + "/" + file) {
        switch event {
        case .start(let step): shown.removeAll { $0.step >= step }
        case .scalars(let scalars): shown += scalars
        case .settings(let tag, _): settings.insert(tag)
        case .version, .text: break
        }
      }
    }
    count()
  }

  private static let prefix = "events.out.tfevents."

  /// Makes the files show a training's history and nothing of its steps behind `step`; what the script added for the stage stays
  /// up to there.
  func begin(_ history: [[EventFile.Scalar]], after step: Int, _ settings: TrainingSettings?) throws {
    var known: [String: EventFile.Scalar] = [:]
    let expected = history.flatMap { row in
      row.filter { scalar in
        defer { known[scalar.tag] = scalar }
        return known[scalar.tag] != scalar
      }
    }
    let names = Self.trainers.union(expected.map(\.tag))
    func isTrainers(_ scalar: EventFile.Scalar) -> Bool { names.contains(scalar.tag) || scalar.tag.hasPrefix("eval/") }
    let kept = shown.filter { $0.step <= step }
    if kept.filter(isTrainers) == expected {
      if !shown.isEmpty, step < .max { try append(.start(step: step + 1)) }
      shown = kept
      try tell(settings)
    } else {
      try append(.start(step: 0))
      self.settings = []
      try tell(settings)
      shown = kept.filter { !isTrainers($0) } + expected
      // One record for each step: a record has one.
      var rest = shown[...]
      while let first = rest.first {
        let row = rest.prefix { $0.step == first.step }
        try append(.scalars(Array(row)))
        rest = rest.dropFirst(row.count)
      }
    }
    count()
  }

  /// Says with what the stage trains, unless that is there.
  private func tell(_ new: TrainingSettings?) throws {
    guard let new, settings.insert(TrainingSettings.startTag).inserted else { return }
    for (tag, text) in new.texts { try append(.text(tag: tag, step: 0, text)) }
    try append(new.start(at: Date().timeIntervalSince1970))
  }

  /// Says that the training came to its end.
  func end() throws {
    guard settings.contains(TrainingSettings.startTag), settings.insert(TrainingSettings.endTag).inserted else { return }
    try append(TrainingSettings.end(at: Date().timeIntervalSince1970))
  }

  private func count() {
    repeated = shown.reduce(into: [:]) { $0[$1, default: 0] += 1 }
    last = shown.reduce(into: [:]) { $0[$1.tag] = $1 }
  }

  /// Adds a row, all of the same step. What is there already is left out: a number that was just written, such as the epoch of a
  /// step that is logged and evaluated, and of a script that runs again from its start, what it logged before.
  func add(_ row: [EventFile.Scalar], unlessRepeated: Bool) throws {
    let new = row.filter { scalar in
      if unlessRepeated, let count = repeated[scalar], count > 0 {
        repeated[scalar] = count - 1
        return false
      }
      defer { last[scalar.tag] = scalar }
      return last[scalar.tag] != scalar
    }
    if new.isEmpty { return }
    try append(.scalars(new))
    shown += new
  }

  func append(_ event: EventFile.Event) throws {
    try open().write(Data(EventFile.record(event)))
  }

  private func open() throws -> FileWriter {
    if let file { return file }
    newest = max(newest + 1, Int(Date().timeIntervalSince1970))
    // The third part is the machine's name elsewhere: a run directory tells none.
    let name = Self.prefix + String(repeating: "0", count: max(0, 10 - "\(newest)".count)) + "\(newest).perigee.\(getpid()).0"
    let file = try FileWriter(appendingTo: root.place(folder + "/" + name), isNew: true)
    self.file = file
    try append(.version)
    return file
  }
}
