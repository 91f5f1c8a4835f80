//! What a device says about itself, to be recorded and to be required by policy.

use std::fmt;

use cryptoki::context::Pkcs11;
use cryptoki::error::Error;
use cryptoki::mechanism::MechanismType;
use cryptoki::slot::{Slot, TokenInfo};

use crate::error::PinTries;

/// A version, as devices give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Before the point.
    pub major: u8,
    /// After it.
    pub minor: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl From<cryptoki::types::Version> for Version {
    fn from(version: cryptoki::types::Version) -> Version {
        Version { major: version.major(), minor: version.minor() }
    }
}

/// What a device says about itself (`C_GetTokenInfo`, `C_GetSlotInfo`, `C_GetInfo`). The device's word, not proof: only
/// a manufacturer's attestation would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Who made the device.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// Its firmware.
    pub firmware: Version,
    /// Its hardware.
    pub hardware: Version,
    /// The name that it was given.
    pub label: String,
    /// Who made the library.
    pub library: String,
    /// The library's version.
    pub library_version: Version,
    /// Yes or no.
    pub flags: Flags,
}

/// What a device says about itself, yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one flag of the standard")]
pub struct Flags {
    /// The token is a device of hardware (`CKF_HW_SLOT`).
    pub hardware_slot: bool,
    /// It signs ECDSA in hardware (`CKF_HW` of `CKM_ECDSA`).
    pub hardware_ecdsa: bool,
    /// It can be pulled out (`CKF_REMOVABLE_DEVICE`).
    pub removable: bool,
    /// It makes random numbers (`CKF_RNG`).
    pub random: bool,
    /// It wants a PIN before it does anything (`CKF_LOGIN_REQUIRED`).
    pub login_required: bool,
    /// It keeps no new keys (`CKF_WRITE_PROTECTED`).
    pub write_protected: bool,
    /// It has a keypad of its own (`CKF_PROTECTED_AUTHENTICATION_PATH`).
    pub keypad: bool,
    /// It has failed its own tests (`CKF_ERROR_STATE`).
    pub failed: bool,
    /// A wrong PIN was given since the last right one, before this opening (`CKF_USER_PIN_COUNT_LOW`): somebody tried.
    pub pin_tried: bool,
    /// A wrong PIN of the security officer was given lately (`CKF_SO_PIN_COUNT_LOW`): somebody tried.
    pub officer_pin_tried: bool,
}

impl Facts {
    pub(crate) fn read(pkcs11: &Pkcs11, slot: Slot, token: &TokenInfo) -> Result<Facts, Error> {
        let place = pkcs11.get_slot_info(slot)?;
        let library = pkcs11.get_library_info()?;
        let ecdsa = pkcs11.get_mechanism_info(slot, MechanismType::ECDSA);
        Ok(Facts {
            manufacturer: token.manufacturer_id().to_owned(),
            model: token.model().to_owned(),
            serial: token.serial_number().to_owned(),
            firmware: token.firmware_version().into(),
            hardware: token.hardware_version().into(),
            label: token.label().to_owned(),
            library: library.manufacturer_id().to_owned(),
            library_version: library.library_version().into(),
            flags: Flags {
                hardware_slot: place.hardware_slot(),
                hardware_ecdsa: ecdsa.is_ok_and(|ecdsa| ecdsa.hardware()),
                removable: place.removable_device(),
                random: token.rng(),
                login_required: token.login_required(),
                write_protected: token.write_protected(),
                keypad: token.protected_authentication_path(),
                failed: token.error_state(),
                pin_tried: token.user_pin_count_low(),
                officer_pin_tried: token.so_pin_count_low(),
            },
        })
    }
}

pub fn tries(token: &TokenInfo) -> PinTries {
    PinTries::of(token.user_pin_count_low(), token.user_pin_final_try(), token.user_pin_locked())
}
