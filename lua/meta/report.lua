---@meta
-- Written by `perigee stubs` from the declarations.

---@alias PlotScale
---| "linear"
---| "log"

---report.plot
---@class PlotOptions
---@field line? table rows that are shown as lines through the points of each series, by x
---@field bar? table rows that are shown as a bar for each x, or for each x and series
---@field heatmap? table rows that are shown as a shade for each x and y, by the column value
---@field scatter? table rows that are shown as a point for each row
---@field title? string what stands above it; default: the columns' names
---@field x string the column of the horizontal axis
---@field y string the column of the vertical axis; of bars, their length
---@field value? string the column that shades a heat map
---@field by? string a column: rows with one value of it are a series of their own
---@field spread? string a column: how far y spreads to both sides; 'spread' may be missing, as in rows of sweep.run with one seed
---@field x_label? string the name of the horizontal axis; default: that of its column
---@field y_label? string the name of the vertical axis; default: that of its column
---@field x_scale? PlotScale how the horizontal axis spreads numbers (default "linear")
---@field y_scale? PlotScale how the vertical axis spreads numbers (default "linear")

---Tables of results, printed, and figures: both are kept in results.json, and `perigee report` shows them.
---@class reportlib
report = {}

---Prints a table with one row for each result.
---@param rows table results of trainer.fit, or tables; with columns = { "stage", "accuracy", ... }, by default what the rows have, and title = "..."
function report.table(rows) end

---Adds a figure to the run, which `perigee report` shows. A script that runs again adds it anew.
---@param options? PlotOptions see the fields; one of them has the rows, and its name is the kind of chart
function report.plot(options) end

---A number as a table shows it: "0.7950", "5e-05", "1,234.5".
---@param value number any number
---@return string # text
function report.number(value) end

return report
