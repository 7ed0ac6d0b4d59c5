import Files

/// One place where two values differ.
public struct ValueDifference: Sendable, Equatable, CustomStringConvertible {
  /// The place, such as `params.learning_rate` or `files[2].digest`; empty for the whole value.
  public let path: String
  /// The value there before; nil if there was none.
  public let old: JSONValue?
  /// The value there now; nil if there is none.
  public let new: JSONValue?

  /// "params.r was 8, is 16". Digests say nothing to people: "functions.loss.code has changed".
  public var description: String {
    let place = path.isEmpty ? "value" : path
    func saysNothing(_ value: JSONValue) -> Bool { value.stringValue.flatMap(Digest.init(hex:)) != nil || value.objectValue != nil }
    return switch (old, new) {
    case (let old?, let new?):
      saysNothing(old) && saysNothing(new) ? "\(place) has changed" : "\(place) was \(old.excerpt()), is \(new.excerpt())"
    case (let old?, nil): saysNothing(old) ? "\(place) is gone" : "\(place) was \(old.excerpt()), is gone"
    case (nil, let new?): saysNothing(new) ? "\(place) is new" : "\(place) is new: \(new.excerpt())"
    case (nil, nil): place
    }
  }

  /// All places where two values differ, by path; members that one side lacks are one difference
  /// each.
  public static func between(_ old: JSONValue, _ new: JSONValue) -> [ValueDifference] {
    var differences: [ValueDifference] = []
    collect(old, new, path: "", into: &differences)
    return differences
  }

  private static func collect(
    _ old: JSONValue, _ new: JSONValue, path: String, into differences: inout [ValueDifference]
  ) {
    switch (old, new) {
    case (.object(let a), .object(let b)):
      for key in Set(a.keys).union(b.keys).sorted() {
        let place = path.isEmpty ? key : path + "." + key
        collect(a[key], b[key], path: place, into: &differences)
      }
    case (.array(let a), .array(let b)):
      for place in 0..<max(a.count, b.count) {
        collect(
          place < a.count ? a[place] : nil, place < b.count ? b[place] : nil,
          path: "\(path)[\(place)]", into: &differences)
      }
    default:
      // Compared as text, because NaN differs from itself.
      if old.encoded(.canonical) != new.encoded(.canonical) {
        differences.append(ValueDifference(path: path, old: old, new: new))
      }
    }
  }

  private static func collect(
    _ old: JSONValue?, _ new: JSONValue?, path: String, into differences: inout [ValueDifference]
  ) {
    if let old, let new {
      collect(old, new, path: path, into: &differences)
    } else if old != nil || new != nil {
      differences.append(ValueDifference(path: path, old: old, new: new))
    }
  }
}
