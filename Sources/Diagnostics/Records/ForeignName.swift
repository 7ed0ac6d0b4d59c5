/// A setting that people bring along from another library, or from habit, and that a record does not have: what to use instead,
/// and why there is no such setting.
public struct ForeignName: Sendable {
  /// Fields that do the same, the first one that the record has; empty if none does.
  public let fields: [String]
  /// A clause that follows the field, or stands alone: "Adapters train in float32 ...".
  public let reason: String

  /// It is called otherwise here.
  public static func isCalled(_ fields: String..., reason: String = "") -> ForeignName {
    ForeignName(fields: fields, reason: reason)
  }

  /// Nothing in the record stands for it.
  public static func isLeftOut(_ reason: String) -> ForeignName { ForeignName(fields: [], reason: reason) }

  /// What to do, for a record with these fields; nil if it has none of those that do the same.
  public func remedy(among names: [String]) -> String? {
    if fields.isEmpty { return reason }
    guard let name = fields.first(where: names.contains) else { return nil }
    return "use '\(name)'" + (reason.isEmpty ? "" : ": \(reason)")
  }
}

extension Record {
  /// What to do about a name that is no field: what stands for it here, else the nearest name, else the list if it is short.
  public static func remedy(for name: String) -> String? {
    let names = fields.map(\.name)
    return foreignNames[name]?.remedy(among: names) ?? suggestion(for: name, among: names)
  }

  static func unknownFields(_ unknown: [String]) -> EngineError {
    if unknown.count == 1 {
      return EngineError(.argument, "\(recordName): unknown field '\(unknown[0])'", hint: remedy(for: unknown[0]))
    }
    let names = fields.map(\.name)
    let listed = unknown.map { name in
      let remedy = foreignNames[name]?.remedy(among: names) ?? nearestName(to: name, among: names).map { "did you mean '\($0)'?" }
      return "'\(name)'" + (remedy.map { " (\($0))" } ?? "")
    }
    // What does not fit into a message that is read is told when the first ones are mended.
    var text = "\(recordName): unknown fields \(listed[0])"
    for (place, item) in listed.enumerated().dropFirst() {
      guard text.count + item.count <= unknownFieldsLimit else { return EngineError(.argument, text + " and \(listed.count - place) more") }
      text += ", " + item
    }
    return EngineError(.argument, text)
  }
}

/// Letters of a message about several unknown fields.
private let unknownFieldsLimit = 480
