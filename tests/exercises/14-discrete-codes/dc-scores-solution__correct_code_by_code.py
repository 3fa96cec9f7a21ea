def three_scores(log_p, k, first, second):
    own, best, every = [], [], []
    for image, (a, b) in zip(log_p, k.tolist()):
        scores = [
            image[i, j] + first[i].log() + second[i, j].log()
            for i, j in product(range(len(first)), repeat=2)
        ]
        own.append(scores[a * len(first) + b])
        best.append(max(scores))
        every.append(best[-1] + sum((s - best[-1]).exp() for s in scores).log())
    return torch.stack(own), torch.stack(best), torch.stack(every)
