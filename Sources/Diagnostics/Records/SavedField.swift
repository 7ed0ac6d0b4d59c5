/// The file of a saved folder that holds a field, always under the field's own name.
public enum SavedPlace: Sendable {
  /// The configuration whose keys are another library's, such as PEFT's `adapter_config.json`, or that has a type of our own.
  case configuration
  /// The file of our own beside it, for what the other library has no key for.
  case ownFile
  /// Neither: what was saved says it in other ways, or it only says how training began.
  case nowhere
}

extension Field {
  /// The same field with another rule for saved folders; without one, it is in their configuration and must be there.
  ///
  /// - Parameters:
  ///   - optional: a folder may lack it, which means the default.
  ///   - written: the value that is written, where that is not the field's own; nil is left out.
  public func saved(
    _ place: SavedPlace = .configuration, optional: Bool = false, as written: (@Sendable (Owner) -> (any FieldValue)?)? = nil
  ) -> Field {
    var copy = self
    (copy.place, copy.mayLack) = (place, optional)
    if let written { copy.loadSaved = { written($0)?.configValue ?? .null } }
    return copy
  }
}
