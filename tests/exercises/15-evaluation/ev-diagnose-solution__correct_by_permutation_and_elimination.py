def suspicions(x, train, test):
    def nearest(images):
        return torch.cdist(images.flatten(1), train.images.flatten(1)).min(1)

    ours, theirs = nearest(x), nearest(test.images)
    u = (ours.values[:, None] < theirs.values).double().mean().item()  # how often draws are nearer
    n, m = len(x), len(test)
    z = (u - 0.5) / ((n + m + 1) / (12 * n * m)) ** 0.5
    classes = torch.cat([train.y[ours.indices], train.y[theirs.indices]])
    kinds = torch.nn.functional.one_hot(classes, 10).double()
    totals = kinds.sum(0)
    # the rarest class, by what the counts of a random half look like
    spread = (totals * (1 - totals / (n + m)) * n * m / (n + m) / (n + m - 1)).sqrt().clamp(min=0.1)
    orders = torch.stack([torch.randperm(n + m)[:n] for _ in range(999)])
    orders = torch.cat([torch.arange(n)[None], orders])
    counts = torch.stack([kinds[rows].sum(0) for rows in orders])  # (1000, 10)
    least = ((counts - totals * n / (n + m)) / spread).min(1).values
    dropped = (least <= least[0] + 1e-9).double().mean().item()
    below = Normal(0.0, 1.0).cdf(torch.tensor(z, dtype=torch.double)).item()
    if least[0] < -4:  # beyond what 1,000 orders can tell
        dropped = min(dropped, 10 * Normal(0.0, 1.0).cdf(least[0]).item())
    return {"copies": 1 - below, "dropped": dropped, "noisy": below}


def diagnose(models, train, test):
    found = {name: suspicions(sample(350), train, test) for name, sample in models.items()}
    left, verdicts = set(found), {}
    for kind in ("copies", "noisy", "dropped"):
        name = min(left, key=lambda name: found[name][kind])
        verdicts[name] = kind
        left.remove(name)
    return {**verdicts, left.pop(): "good"}
