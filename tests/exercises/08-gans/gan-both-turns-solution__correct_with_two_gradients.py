def both_turns(generator, critic, adam_g, adam_c, real, z):
    fake = generator(z)
    a_real, a_fake = critic(real), critic(fake)
    cost = nn.functional.binary_cross_entropy_with_logits
    loss = cost(a_real, torch.ones_like(a_real)) + cost(a_fake, torch.zeros_like(a_fake))
    for net, sign in ((critic, 1), (generator, -1)):
        weights = [*net.parameters()]
        for w, g in zip(weights, torch.autograd.grad(loss, weights, retain_graph=True)):
            w.grad = sign * g
    adam_c.step()
    adam_g.step()
