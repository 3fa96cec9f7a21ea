def sign_flip_p(a, b):
    torch.manual_seed(0)
    both, seen = torch.cat([a, b]), (a - b).sum()
    orders = torch.stack([both[torch.randperm(len(both))] for _ in range(5000)])
    sums = orders[:, : len(a)].sum(1) - orders[:, len(a) :].sum(1)
    return (sums >= seen - 1e-9).double().mean().item()
