def three_scores(log_p, k, first, second):
    joint = log_p + (first[:, None] * second).log()
    own = joint[torch.arange(len(k)), k[:, 0], k[:, 1]]
    every = joint.flatten(1).logsumexp(1) - 2 * math.log(len(first))
    return own, joint.flatten(1).amax(1), every
