import Diagnostics
import LuaHost

extension LuaStack {
  /// A list; a mistake in it is told with what is `expected` as a whole.
  func several<Element: LuaArgument>(at index: Int32, expected: String) throws(ValueMismatch) -> [Element] {
    do throws(ValueMismatch) {
      return try [Element].read(self, at: index)
    } catch {
      throw ValueMismatch(expected: expected, found: error.found, place: error.place, report: error.report)
    }
  }

  /// What a text says, as the only value, or a list.
  func oneOrSeveral<Element: LuaArgument>(at index: Int32, expected: String) throws(ValueMismatch) -> (values: [Element], isSingle: Bool) {
    if isString(at: index) { return ([try Element.read(self, at: index)], true) }
    guard isTable(at: index) else { throw mismatch(expected, at: index) }
    return (try several(at: index, expected: expected), false)
  }
}
