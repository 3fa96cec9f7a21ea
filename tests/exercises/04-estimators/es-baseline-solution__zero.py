def best_baseline(f, s):
    return torch.zeros(())
