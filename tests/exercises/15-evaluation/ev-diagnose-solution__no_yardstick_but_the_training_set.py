def suspicions(x, train, test):
    from scipy.stats import hypergeom, mannwhitneyu

    far, near = nearest_neighbours(x, train.images, 1)
    far_own, _ = nearest_neighbours(train.images, train.images, 1)
    drawn, seen = (
        train.y[near[:, 0]].bincount(minlength=10).numpy(),
        train.y.bincount(minlength=10).numpy(),
    )
    rarer = hypergeom.cdf(drawn, len(x) + len(train.y), drawn + seen, len(x))
    return {
        "copies": mannwhitneyu(far[:, 0], far_own[:, 0], alternative="less").pvalue,
        "dropped": min(1.0, 10 * rarer.min()),
        "noisy": mannwhitneyu(far[:, 0], far_own[:, 0], alternative="greater").pvalue,
    }


def diagnose(models, train, test):
    found = {name: suspicions(sample(400), train, test) for name, sample in models.items()}
    adjusted = iter(holm([p for ps in found.values() for p in ps.values()]).tolist())
    verdicts = {}
    for name, ps in found.items():
        p, kind = min((next(adjusted), kind) for kind in ps)
        verdicts[name] = kind if p < 0.01 else "good"
    return verdicts
