def coverage_and_precision(real, fake, k):
    covered, held = 0, [False] * len(fake)
    for i, x in enumerate(real):
        others = torch.cat([real[:i], real[i + 1 :]])
        radius = (others - x).norm(dim=1).topk(k, largest=False).values.max()
        hits = (fake - x).norm(dim=1) <= radius
        covered += bool(hits.any())
        held = [a or bool(b) for a, b in zip(held, hits)]
    return covered / len(real), sum(held) / len(fake)
