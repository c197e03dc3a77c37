#!/usr/bin/python
# Copyright: (c) The Groundwork authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation of an action plugin, which does all of the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_outside
short_description: Ask the sites of a host from the controller, as a visitor would
version_added: 0.1.0
description:
  - Asks for each app by its public names, all at the same time - where DNS leads them, whether ports 80 and 443 answer,
    whether http leads to https at once, the certificate that is served and how long it is valid, the health path, the
    header Strict-Transport-Security, and whether the other names redirect to the canonical one.
  - Where a name does not lead to the host, or nothing answers, the host is asked by its own address, so that it can be
    said who is in between.
  - The host itself is not called, proxies of the environment are not used, redirects are not followed, and answers are
    read up to a limit. It takes 16 seconds at most, and a few hundred milliseconds where all answer.
  - Fails only where it cannot look. What is to be done about the findings is up to the play.
author: The Groundwork authors (@groundwork)
options:
  expected:
    description:
      - What is expected of the host, as the filter P(groundwork.flask.verify_expected#filter) makes it.
      - Of each of its C(apps) are read C(domains), C(certificate), and C(public) with C(path), C(hsts) and C(owner).
      - C(proxy) is named by remedies.
    type: dict
    required: true
  only:
    description: Names of the apps to ask for. All by default.
    type: list
    elements: str
    default: []
  address:
    description: A name or an address of the host. By default C(ansible_host), or its name in the inventory.
    type: str
    default: ""
  addresses:
    description:
      - The host's own addresses, as it says. They are asked if O(address) cannot be resolved, or is the controller's
        own, which forwards a port to the host.
    type: list
    elements: str
    default: []
  fronts:
    description: Addresses and networks of balancers or CDNs that visitors come by, as C(proxy_trusted_addresses).
    type: list
    elements: str
    default: []
  reached:
    description: Whether the host was reached in this run. Not known by default.
    type: bool
  listening:
    description: TCP ports on which the host listens for everybody. Not known by default.
    type: list
    elements: int
  firewalls:
    description: Other firewalls at work on the host, such as V(ufw).
    type: list
    elements: str
    default: []
  private_ca:
    description: Whether the certificates are issued by a CA of one's own. One that is not trusted is not checked then.
    type: bool
    default: false
  ca_bundle:
    description: A file on the controller with certificates of CAs to trust beside its own store, in PEM.
    type: str
    default: ""
  setting_up:
    description:
      - Whether the host has just been set up. A name that does not lead to it yet, and a connection that something in
        between does not let through, are warnings then.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: It changes nothing.
  diff_mode:
    support: none
    description: It changes nothing.
seealso:
  - module: groundwork.flask.verify
"""

EXAMPLES = r"""
- name: Ask the sites as a visitor would
  groundwork.flask.verify_outside:
    expected: "{{ flask_apps | groundwork.flask.verify_expected }}"
  register: my_visit

- name: Show what a visitor would not like
  ansible.builtin.debug:
    msg: "{{ my_visit.problems + my_visit.warned }}"
"""

RETURN = r"""
findings:
  description:
    - What was looked at, as M(groundwork.flask.verify) returns it.
    - The checks are C(public_dns), C(public_answer), C(public_redirect), C(public_certificate), C(public_health) and
      C(public_hsts).
  type: list
  elements: dict
  returned: success
visits:
  description: One line for each app, for a summary.
  type: dict
  returned: success
  sample: {shop: "200 in 21 ms from here, by 203.0.113.7"}
answers:
  description:
    - By app, C(url), C(status), C(seconds), C(address), and C(certificate) with C(issuer), C(days), C(until) and
      C(trusted). What there is none of is 0 or empty.
  type: dict
  returned: success
declared:
  description: What of O(expected) a report shows.
  type: dict
  returned: success
problems:
  description: The problems as sentences, with their remedies.
  type: list
  elements: str
  returned: success
warned:
  description: The warnings, alike.
  type: list
  elements: str
  returned: success
"""
