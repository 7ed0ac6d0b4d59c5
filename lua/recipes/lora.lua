-- LoRA on GLUE with RoBERTa-base: Hu et al. 2021 (arXiv 2106.09685), Table 9, with the batch of all GPUs of the authors' scripts.
-- MRPC, RTE and STS-B start from the MNLI adapter there. lora_alpha: the scripts' (the paper says 8).
return {
  adapter = { r = 8, lora_alpha = 16, target_modules = { "query", "value" } },
  common = {
    weight_decay = 0.1, warmup_ratio = 0.06, lr_scheduler_type = "linear", max_grad_norm = 1.0, max_length = 512,
    load_best_model_at_end = true,
  },
  tasks = {
    mnli = { learning_rate = 5e-4, num_train_epochs = 30, per_device_train_batch_size = 128 },
    sst2 = { learning_rate = 5e-4, num_train_epochs = 60, per_device_train_batch_size = 128 },
    mrpc = { learning_rate = 4e-4, num_train_epochs = 30, per_device_train_batch_size = 128 },
    cola = { learning_rate = 4e-4, num_train_epochs = 80, per_device_train_batch_size = 64 },
    qnli = { learning_rate = 4e-4, num_train_epochs = 25, per_device_train_batch_size = 256 },
    qqp  = { learning_rate = 5e-4, num_train_epochs = 25, per_device_train_batch_size = 128 },
    rte  = { learning_rate = 5e-4, num_train_epochs = 80, per_device_train_batch_size = 256 },
    stsb = { learning_rate = 4e-4, num_train_epochs = 40, per_device_train_batch_size = 128 },
  },
}
