---@meta
-- Written by `perigee stubs` from the declarations.

---Metrics of classification and regression.
---@class metricslib
metrics = {}

---share of predictions equal to their references, 0 to 1
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.accuracy(predictions, references) end

---2TP / (2TP + FP + FN) of class 1 against class 0, 0 to 1; 0 where undefined
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.f1(predictions, references) end

---correlation of predicted with true classes, -1 to 1; 0 where either has one class only
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.matthews_correlation(predictions, references) end

---linear correlation, -1 to 1; 0 where predictions or references are constant
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.pearson(predictions, references) end

---rank correlation with averaged ties, -1 to 1; 0 where either side is constant
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.spearmanr(predictions, references) end

---mean squared error, 0 or more; lower is better
---@param predictions number[] class indices, or scores
---@param references number[] the right ones
---@return number # the metric
function metrics.mse(predictions, references) end

---Whether more of a metric is better.
---@param name string a metric, "loss", "perplexity" or "combined", also with "eval_" in front or an evaluation set's suffix
---@return boolean? # true or false; nil for a name that is not known
function metrics.greater_is_better(name) end

return metrics
